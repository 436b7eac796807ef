package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// What can be wrong.
var (
	errChanged  = errors.New("something changed that should not have")
	errAdmitted = errors.New("a pod was admitted that the restricted standard forbids")
	errTold     = errors.New("a key is in a log")
	errLeak     = errors.New("the witness disagrees")
	errAnswer   = errors.New("the legacy API answered otherwise")
)

// inspectPods looks at how the pods run.
func (c *course) inspectPods(ctx context.Context) error {
	took, err := until(ctx, podPatience, c.podsReady(managers, 2))
	if err = c.assert("two managers are Ready, each with its sidecar: all probes pass", took, err); err != nil {
		return err
	}
	if err = c.assert("no container was restarted", 0, c.restarts(ctx, operatorNamespace)); err != nil {
		return err
	}
	return c.assert("the restricted pod security standard is enforced where they run", 0, c.refusesRoot(ctx))
}

// refusesRoot asks the API server for a pod that runs as root, without making it.
func (c *course) refusesRoot(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "root"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "root", Image: c.chosen.image}}},
	}
	err := c.objects.Create(ctx, pod, client.DryRunAll)
	if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "PodSecurity") {
		return nil
	}
	return errors.Join(errAdmitted, err)
}

// askSidecar asks as a legacy client does: for the pool, for ComfyUI's health,
// for the configuration and for the operator's own Deployment.
func (c *course) askSidecar(ctx context.Context) error {
	for _, path := range []string{"warm-pool/status", "warm-pool/health", "config", "pm2/status"} {
		_, err := until(ctx, podPatience, func(ctx context.Context) (string, error) {
			status, text, err := c.legacy(ctx, path, adminKey)
			if err != nil || status == http.StatusOK {
				return "", err
			}
			return fmt.Sprintf("%s: %d %s", path, status, text), nil
		})
		if err != nil {
			return err
		}
	}
	if status, text, err := c.legacy(ctx, "warm-pool/status", "wrong"); err != nil || status == http.StatusOK {
		return fmt.Errorf("%w: %d %s to a wrong key: %w", errAnswer, status, text, err)
	}
	return nil
}

// legacy asks for a path below /api/proxy/admin/, through the API server.
func (c *course) legacy(ctx context.Context, path, key string) (status int, text string, err error) {
	body, err := c.clients.CoreV1().RESTClient().Get().Namespace(operatorNamespace).Resource("services").Name(release+"-sidecar:http").SubResource("proxy").
		Suffix("api/proxy/admin/"+path).SetHeader("x-admin-key", key).Do(ctx).StatusCode(&status).Raw()
	if status != 0 {
		err = nil
	}
	return status, string(body), err
}

// claimBound says what a claim waits for.
func (c *course) claimBound(ctx context.Context, name string) (string, error) {
	var claim warmpool.WarmClaim
	if err := c.objects.Get(ctx, client.ObjectKey{Namespace: poolNamespace, Name: name}, &claim); err != nil {
		return "", err
	}
	condition := meta.FindStatusCondition(claim.Status.Conditions, warmpool.ConditionBound)
	if condition == nil || condition.Status != metav1.ConditionTrue {
		return fmt.Sprintf("the claim is not bound: %+v", condition), nil
	}
	return "", nil
}

// sameRentals compares the witness's book with what it was.
func (c *course) sameRentals(ctx context.Context, before []simulator.RentalRecord) error {
	after, err := c.rentals(ctx)
	if err != nil {
		return err
	}
	alive := map[int64]bool{}
	for k := range before {
		alive[before[k].ID] = before[k].Live()
	}
	for k := range after {
		was, known := alive[after[k].ID]
		if !known || was != after[k].Live() {
			return fmt.Errorf("%w: rental %d (known before: %v, lived: %v, lives: %v)", errChanged, after[k].ID, known, was, after[k].Live())
		}
	}
	return nil
}

// writes counts the calls that change something at the provider.
func (c *course) writes(ctx context.Context) (int, error) {
	var counts map[string]map[string]int
	if err := c.vast(ctx, "requests", &counts); err != nil {
		return 0, err
	}
	sum := 0
	for _, endpoint := range []simulator.Endpoint{
		simulator.EndpointCreate, simulator.EndpointUpdate, simulator.EndpointUpdateMany, simulator.EndpointDestroy, simulator.EndpointDestroyMany,
		simulator.EndpointReboot, simulator.EndpointRecycle, simulator.EndpointBid,
	} {
		for _, count := range counts[string(endpoint)] {
			sum += count
		}
	}
	return sum, nil
}

// inspectRights reads the logs and the roles while they are there.
func (c *course) inspectRights(ctx context.Context) (err error) {
	if err = c.assert("no key is in the log of a manager or a sidecar", 0, c.keysInLogs(ctx)); err != nil {
		return err
	}
	if c.node == nil {
		c.leave("comparing rights with requests", "the audit log of this cluster's API server is out of reach")
		return nil
	}
	pods, err := c.pods(ctx, operatorNamespace, managers)
	if err != nil || len(pods) == 0 {
		return fmt.Errorf("reading the managers' pods: %w", errors.Join(err, errChanged))
	}
	account := pods[0].Spec.ServiceAccountName
	if c.rights, err = c.readRights(ctx, account); err != nil {
		return err
	}
	found, err := readUsage(c.node.AuditLog(), account)
	if err != nil {
		return err
	}
	sufficient, narrow := found.judge(c.rights, reasons())
	for _, idle := range unused(c.rights, found.used) {
		c.print("         unused here: %-60s %s\n", idle, reasons()[idle])
	}
	// What follows does not depend on either.
	_ = c.assert(fmt.Sprintf("the role suffices: %d different requests, none refused", len(found.used)), 0, sufficient)     //nolint:errcheck // it is counted
	_ = c.assert(fmt.Sprintf("it is not wider than needed: %d rights, the unused have a reason", len(c.rights)), 0, narrow) //nolint:errcheck // it is counted
	return nil
}

// keysInLogs looks for what nobody may say (I8).
func (c *course) keysInLogs(ctx context.Context) error {
	pods, err := c.pods(ctx, operatorNamespace, managers)
	if err != nil {
		return err
	}
	for k := range pods {
		for _, container := range pods[k].Spec.Containers {
			text, err := c.clients.CoreV1().Pods(operatorNamespace).GetLogs(pods[k].Name, &corev1.PodLogOptions{Container: container.Name}).DoRaw(ctx)
			if err != nil {
				return fmt.Errorf("reading the log of %s in %s: %w", container.Name, pods[k].Name, err)
			}
			for _, word := range []string{apiKey, adminKey, salt} {
				if strings.Contains(string(text), word) {
					return fmt.Errorf("%w: %s in %s", errTold, container.Name, pods[k].Name)
				}
			}
		}
	}
	return nil
}

// askWitness reads the meter at the end.
func (c *course) askWitness(ctx context.Context) error {
	records, err := c.rentals(ctx)
	if err != nil {
		return err
	}
	labels := map[string]int{}
	var cost int64
	for k := range records {
		labels[records[k].Label]++
		cost += records[k].CostMicros
		if records[k].Live() {
			err = errors.Join(err, fmt.Errorf("%w: rental %d still bills", errLeak, records[k].ID))
		}
	}
	if err = c.assert(fmt.Sprintf("%d rentals were made, all are ended: no leak", len(records)), 0, err); err != nil {
		return err
	}
	for label, count := range labels {
		if count > 1 {
			err = errors.Join(err, fmt.Errorf("%w: %s was rented %d times", errLeak, label, count))
		}
	}
	const micros = 1e6
	return c.assert(fmt.Sprintf("none was rented twice; they cost $%.4f", float64(cost)/micros), 0, err)
}

// diagnose prints what a person needs who looks at a failure.
func (c *course) diagnose(ctx context.Context) {
	if c.clients == nil {
		return
	}
	c.chapter("How things were at the failure")
	for _, namespace := range []string{operatorNamespace, vastNamespace} {
		pods, err := c.pods(ctx, namespace, "")
		if err != nil {
			c.print("  %v\n", err)
			return
		}
		for k := range pods {
			c.print("  pod %s/%s on %s: %s\n", namespace, pods[k].Name, pods[k].Spec.NodeName, podTrouble(&pods[k]))
			const lines = 15
			for _, container := range pods[k].Spec.Containers {
				text, logErr := c.clients.CoreV1().Pods(namespace).GetLogs(pods[k].Name, &corev1.PodLogOptions{Container: container.Name, TailLines: new(int64(lines))}).DoRaw(ctx)
				c.print("  the end of the log of %s (%v):\n%s\n", container.Name, logErr, text)
			}
		}
		events, err := c.clients.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
		if err != nil {
			continue
		}
		for k := range events.Items {
			c.print("  event %s %s: %s\n", events.Items[k].InvolvedObject.Name, events.Items[k].Reason, events.Items[k].Message)
		}
	}
}
