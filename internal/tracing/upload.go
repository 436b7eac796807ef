package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// uploadTimeout bounds one request to the collector.
const uploadTimeout = 10 * time.Second

// errHeaders reports headers that cannot be read. The text may hold a key.
var errHeaders = errors.New("OTEL_EXPORTER_OTLP_HEADERS: give name=value pairs, divided by commas")

// uploader sends spans by OTLP over HTTP, as protobuf. OpenTelemetry's own client
// does the same and brings gRPC into the program, which is a third of it then.
type uploader struct {
	endpoint string
	headers  http.Header
	client   http.Client
}

// newUploader reads headers as OpenTelemetry writes them into a variable: pairs
// name=value, divided by commas, values in the encoding of URLs.
func newUploader(endpoint *url.URL, headers string) (*uploader, error) {
	u := &uploader{endpoint: endpoint.JoinPath(tracesPath).String(), headers: http.Header{}, client: http.Client{
		Timeout: uploadTimeout,
		// The headers are for this collector only.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for pair := range strings.SplitSeq(headers, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, encoded, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(encoded))
		if !found || err != nil || strings.TrimSpace(name) == "" {
			return nil, errHeaders
		}
		u.headers.Set(strings.TrimSpace(name), value)
	}
	u.headers.Set("Content-Type", "application/x-protobuf")
	return u, nil
}

// Start implements otlptrace.Client.
func (*uploader) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (u *uploader) Stop(context.Context) error {
	u.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. TracesData looks on the wire as the
// request of the service does.
func (u *uploader) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encoding spans: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("sending spans: %w", err)
	}
	request.Header = u.headers.Clone()
	response, err := u.client.Do(request)
	if err != nil {
		return fmt.Errorf("sending spans: %w", err)
	}
	// Reading to the end keeps the connection; what a collector says is not needed.
	const most = 64 << 10
	_, readErr := io.Copy(io.Discard, io.LimitReader(response.Body, most))
	if err := errors.Join(readErr, response.Body.Close()); err != nil {
		return fmt.Errorf("sending spans: %w", err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("sending spans: %s answered %s", request.URL.Host, response.Status)
	}
	return nil
}
