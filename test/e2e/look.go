package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// podsReady says which of the operator's pods are not Ready yet.
func (c *cluster) podsReady(selector string, count int) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		pods, err := c.pods(ctx, operatorNamespace, selector)
		if err != nil {
			return "", err
		}
		ready := 0
		var why []string
		for k := range pods {
			pod := &pods[k]
			if pod.DeletionTimestamp == nil && podReady(pod) {
				ready++
				continue
			}
			why = append(why, pod.Name+": "+podTrouble(pod))
		}
		if ready == count && len(pods) == count {
			return "", nil
		}
		return fmt.Sprintf("%d of %d pods are Ready; %s", ready, count, strings.Join(why, "; ")), nil
	}
}

func podReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(one corev1.PodCondition) bool {
		return one.Type == corev1.PodReady && one.Status == corev1.ConditionTrue
	})
}

// podTrouble says what a pod waits for.
func podTrouble(pod *corev1.Pod) string {
	for _, one := range pod.Status.ContainerStatuses {
		switch {
		case one.State.Waiting != nil:
			return one.State.Waiting.Reason + " " + one.State.Waiting.Message
		case one.State.Terminated != nil:
			return fmt.Sprintf("ended with %d: %s", one.State.Terminated.ExitCode, one.State.Terminated.Message)
		case !one.Ready:
			return one.Name + " is not ready"
		}
	}
	return string(pod.Status.Phase)
}

// poolHas says what a pool lacks of so many ready instances and no others.
func (c *cluster) poolHas(name string, ready int32) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var pool warmpool.WarmPool
		if err := c.objects.Get(ctx, client.ObjectKey{Namespace: poolNamespace, Name: name}, &pool); err != nil {
			return "", err
		}
		status := &pool.Status
		if status.ObservedGeneration == pool.Generation && status.ReadyReplicas == ready && status.TotalReplicas == ready {
			return "", nil
		}
		why := ""
		if condition := meta.FindStatusCondition(status.Conditions, warmpool.ConditionFullyProvisioned); condition != nil {
			why = condition.Reason + ": " + condition.Message
		}
		return fmt.Sprintf("pool %s has %d ready of %d, %d in all. %s", name, status.ReadyReplicas, ready, status.TotalReplicas, why), nil
	}
}

// accountReady waits for a status of the account's condition Ready.
func (c *cluster) accountReady(want metav1.ConditionStatus) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var account warmpool.VastAccount
		if err := c.objects.Get(ctx, client.ObjectKey{Namespace: poolNamespace, Name: "default"}, &account); err != nil {
			return "", err
		}
		found := meta.FindStatusCondition(account.Status.Conditions, warmpool.ConditionReady)
		if found == nil || found.Status != want {
			return fmt.Sprintf("the account's condition Ready is %+v", found), nil
		}
		return "", nil
	}
}

// gone waits until an object is not there.
func (c *cluster) gone(object client.Object, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		err := c.objects.Get(ctx, client.ObjectKey{Namespace: poolNamespace, Name: name}, object)
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return name + " is still there", err
	}
}

// live returns the rentals that bill, by id.
func (c *cluster) live(ctx context.Context) ([]int64, error) {
	records, err := c.rentals(ctx)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for k := range records {
		if records[k].Live() {
			ids = append(ids, records[k].ID)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// errRestarted is a container that did not run through.
var errRestarted = errors.New("a container was restarted")

// restarts fails when a container of a namespace has been restarted.
func (c *cluster) restarts(ctx context.Context, namespace string) error {
	pods, err := c.pods(ctx, namespace, "")
	if err != nil {
		return err
	}
	for k := range pods {
		for _, one := range pods[k].Status.ContainerStatuses {
			if one.RestartCount > 0 {
				return fmt.Errorf("%w: %s of %s, %d times; the last ended so: %+v", errRestarted, one.Name, pods[k].Name, one.RestartCount, one.LastTerminationState.Terminated)
			}
		}
	}
	return nil
}
