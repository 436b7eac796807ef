package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

const (
	// poolSize is how many instances a pool of a large fleet has.
	poolSize = 20
	// diskGB is the default of a pool.
	diskGB = 64
)

// seeder makes rentals together with the WarmInstances that record them, as
// they would be after hours of renting one every 4.5 s. It rents over the same
// API and with the same request as the operator; each rental with a key of its
// own, because the limits, which stay in force, are per key.
type seeder struct {
	plane     *controlPlane
	namespace string
	sim       *simAdmin
	// now is the time that the operator will think it is.
	now func() time.Time
	// perPool is how many instances a pool has, 0 for poolSize.
	perPool int
	// change, unless nil, sees each pool before it is made.
	change func(pool *warmpool.WarmPool)
}

// seedWorld fills a world, starts its operator and waits until all are ready.
func (b *bench) seedWorld(ctx context.Context, w *world, count int) error {
	s := &seeder{
		plane: b.plane, namespace: w.namespace, sim: newSimAdmin(w.vast.URL(), w.vast.AdminURL()), now: w.clock.Now, change: probeSlowly,
	}
	return b.seedWith(ctx, w, s, count)
}

// probeSlowly keeps the probes of 2,000 instances, which do not go to Vast.ai,
// from filling the machine when time runs faster than the wall.
func probeSlowly(pool *warmpool.WarmPool) { pool.Spec.Probes.PeriodSeconds = 300 }

// seedWith is seedWorld with a seeder of one's own.
func (b *bench) seedWith(ctx context.Context, w *world, s *seeder, count int) error {
	if err := s.seed(ctx, count); err != nil {
		return err
	}
	b.note("%d rentals are there; starting the operator", count)
	if err := w.start(ctx); err != nil {
		return err
	}
	const patience = 10 * time.Minute
	return w.waitReady(ctx, count, patience)
}

// seed makes as many rentals, in pools of perPool.
func (s *seeder) seed(ctx context.Context, count int) error {
	const workers = 8
	perPool := cmp.Or(s.perPool, poolSize)
	offers, err := s.sim.offers(ctx)
	if err != nil {
		return err
	}
	if len(offers) < count {
		return fmt.Errorf("seeding %d rentals: the market has %d machines", count, len(offers))
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	var pool *warmpool.WarmPool
	for k := range count {
		if k%perPool == 0 {
			key := client.ObjectKey{Namespace: s.namespace, Name: fmt.Sprintf("pool-%03d", k/perPool)}
			pool, err = s.plane.createPool(ctx, key, min(perPool, count-k), s.change)
			if err != nil {
				break
			}
		}
		owner := pool
		group.Go(func() error { return s.seedOne(groupCtx, owner, &offers[k]) })
	}
	if failure := group.Wait(); failure != nil {
		return failure
	}
	return err
}

// seedOne makes one WarmInstance, its Secret and its rental, and records it.
func (s *seeder) seedOne(ctx context.Context, pool *warmpool.WarmPool, offer *offerRow) error {
	instance := &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, GenerateName: pool.Name + "-", Finalizers: []string{warmpool.FinalizerTerminate},
			Labels:          map[string]string{warmpool.LabelPool: pool.Name, warmpool.LabelAccount: accountName},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(pool, warmpool.GroupVersion.WithKind("WarmPool"))},
		},
		Spec: warmpool.WarmInstanceSpec{
			PoolRef: warmpool.LocalReference{Name: pool.Name}, AccountRef: pool.Spec.AccountRef, Template: pool.Spec.Template,
		},
	}
	if err := s.plane.client.Create(ctx, instance); err != nil {
		return fmt.Errorf("seeding an instance: %w", err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: instance.Name + "-auth",
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(instance, warmpool.GroupVersion.WithKind("WarmInstance"))},
		},
		Data: map[string][]byte{warmpool.SecretKeyWebPassword: []byte(rand.Text())},
	}
	if err := s.plane.client.Create(ctx, secret); err != nil {
		return fmt.Errorf("seeding a Secret: %w", err)
	}
	label := fleet.Label{Installation: installation, InstanceUID: string(instance.UID), Attempt: 1}.String()
	rental, err := s.rent(ctx, offer, label, string(secret.Data[warmpool.SecretKeyWebPassword]))
	if err != nil {
		return err
	}
	s.record(instance, offer, rental, label)
	if err := s.plane.client.Status().Update(ctx, instance); err != nil {
		return fmt.Errorf("seeding a status: %w", err)
	}
	return nil
}

// rent sends what the operator sends for the preset.
func (s *seeder) rent(ctx context.Context, offer *offerRow, label, password string) (int64, error) {
	const comfy, portal = 8188, 1111
	key := fmt.Sprintf("seed-%d", offer.ID)
	if err := s.sim.addKey(ctx, key); err != nil {
		return 0, err
	}
	direct, err := vastai.New(vastai.Options{BaseURL: s.sim.URL, APIKey: key, Clock: clock.RealClock{}})
	if err != nil {
		return 0, err
	}
	id, err := direct.Rent(ctx, fleet.RentRequest{
		OfferID: offer.ID, Label: label, Image: "vastai/comfy:@vastai-automatic-tag", DiskGB: diskGB, Ports: []int{portal, comfy},
		OnStart: "entrypoint.sh", LaunchMode: "jupyter", Env: map[string]string{
			"PORTAL_CONFIG":    "localhost:1111:11111:/:Instance Portal|localhost:8188:18188:/:ComfyUI",
			"OPEN_BUTTON_PORT": "1111", "OPEN_BUTTON_TOKEN": "1", "DATA_DIRECTORY": "/workspace/", "JUPYTER_DIR": "/",
			"COMFYUI_ARGS":     "--disable-auto-launch --port 18188 --enable-cors-header",
			"COMFYUI_API_BASE": "http://localhost:18188", "ENABLE_AUTH": "true", "ENABLE_HTTPS": "true",
			"PROVISIONER_FAILURE_ACTION": "continue", warmpool.SecretKeyWebPassword: password,
		},
	})
	if err != nil {
		return 0, fmt.Errorf("seeding a rental: %w", err)
	}
	return id, nil
}

// record writes what the operator writes after a rent. The quote is on the
// safe side; the observed price replaces it with the first sweep.
func (s *seeder) record(instance *warmpool.WarmInstance, offer *offerRow, rental int64, label string) {
	const quote = "0.5"
	now := metav1.Time{Time: s.now()}
	instance.Status = warmpool.WarmInstanceStatus{
		Attempts: []warmpool.RentAttempt{{
			Number: 1, OfferID: offer.ID, MachineID: offer.MachineID, QuotedUSDPerHour: quote, StartedTime: now, FinishedTime: &now,
			Outcome: warmpool.AttemptSucceeded, RentalID: rental, Reason: "Admitted",
		}},
		Rental: &warmpool.Rental{
			ID: rental, Label: label, MachineID: offer.MachineID, GPUName: offer.GPUName, GPUs: offer.GPUs, RecordedTime: &now,
		},
		Price:                warmpool.InstancePrice{QuotedUSDPerHour: quote},
		CredentialsSecretRef: &warmpool.LocalReference{Name: instance.Name + "-auth"},
		LastAdmission:        &warmpool.Admission{Decision: warmpool.DecisionAdmitted, Reason: "Admitted", Message: "Seeded.", Time: now},
		Conditions: []metav1.Condition{{
			Type: warmpool.ConditionRented, Status: metav1.ConditionTrue, Reason: "Rented", Message: fmt.Sprintf("Rental %d.", rental), LastTransitionTime: now,
		}},
	}
}
