package audit

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// HeadPublisher keeps the head of a log where whoever can write the files
// cannot: in an object of the cluster.
type HeadPublisher interface {
	// PublishHead keeps a head. It is called with heads of rising sequence.
	PublishHead(ctx context.Context, head Head) error
}

// DefaultPublishPeriod is how often the head is published: what was written
// since can be cut off unnoticed.
const DefaultPublishPeriod = 30 * time.Second

// PublishHeads publishes the head of a log whenever it has changed, every period
// and once more when ctx ends, then returns. A failure goes to the log's observer
// and is tried again after a period.
func (l *Log) PublishHeads(ctx context.Context, publisher HeadPublisher, every time.Duration, ticks clock.WithTicker) {
	var published Head
	publish := func(ctx context.Context) {
		head := l.Head()
		if head.IsZero() || head.Hash == published.Hash {
			return
		}
		if err := publisher.PublishHead(ctx, head); err != nil {
			l.failed(nil, err)
			return
		}
		published = head
	}
	ticker := ticks.NewTicker(every)
	defer ticker.Stop()
	publish(ctx)
	for {
		select {
		case <-ticker.C():
			publish(ctx)
		case <-ctx.Done():
			const lastWords = 5 * time.Second
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			publish(last)
			return
		}
	}
}
