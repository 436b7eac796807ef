package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
)

const (
	diagnosedLogLines = 40
	diagnosedEvents   = 30
)

// diagnose says everything that helps to find out why a run fell short.
func (s *stack) diagnose(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, localplane.StopTimeout)
	defer cancel()
	if s.cluster != nil {
		if err := s.dumpObjects(ctx); err != nil {
			s.out.say("Reading the objects: %v", err)
		}
	}
	if s.sim != nil {
		if counted, err := s.sim.ask(ctx); err == nil {
			s.out.say("%s", epilogue(counted))
		}
	}
	if s.operator != nil {
		s.out.say("The end of %s:\n%s", s.place.shown(s.place.log("manager")), process.Indent(process.LastLines(s.place.log("manager"), diagnosedLogLines)))
	}
}

// dumpObjects prints the status of every object of ours, and the last events.
// No status holds a secret.
func (s *stack) dumpObjects(ctx context.Context) error {
	var pools warmpool.WarmPoolList
	var instances warmpool.WarmInstanceList
	var accounts warmpool.VastAccountList
	if err := errors.Join(s.cluster.List(ctx, &accounts), s.cluster.List(ctx, &pools), s.cluster.List(ctx, &instances)); err != nil {
		return err
	}
	for k := range accounts.Items {
		s.dump("VastAccount", &accounts.Items[k], accounts.Items[k].Status)
	}
	for k := range pools.Items {
		s.dump("WarmPool", &pools.Items[k], pools.Items[k].Status)
	}
	for k := range instances.Items {
		s.dump("WarmInstance", &instances.Items[k], instances.Items[k].Status)
	}
	var events corev1.EventList
	if err := s.cluster.List(ctx, &events); err != nil {
		return err
	}
	var text strings.Builder
	for k := max(0, len(events.Items)-diagnosedEvents); k < len(events.Items); k++ {
		event := &events.Items[k]
		fmt.Fprintf(&text, "%s %s/%s %s: %s\n", event.Type, event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message)
	}
	s.out.say("Events:\n%s", process.Indent(text.String()))
	return nil
}

func (s *stack) dump(kind string, object client.Object, status any) {
	text, err := yaml.Marshal(status)
	if err != nil {
		text = []byte(err.Error())
	}
	deleting := ""
	if !object.GetDeletionTimestamp().IsZero() {
		deleting = ", deleting"
	}
	s.out.say("%s %s (generation %d%s), status:\n%s", kind, object.GetName(), object.GetGeneration(), deleting, process.Indent(string(text)))
}
