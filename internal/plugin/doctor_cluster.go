package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

const (
	areaCluster     = "cluster"
	areaOperator    = "operator"
	areaPermissions = "permissions"
	areaAccount     = "account"
	areaReach       = "reachability"
	areaVersions    = "versions"

	// skewNoted and skewFault are differences of clocks. Ages and expirations that
	// this program shows are wrong by as much; certificates and tokens fail at some
	// minutes.
	skewNoted = 2 * time.Second
	skewFault = 30 * time.Second
	// leaseName is the lease that the replicas of the operator compete for.
	leaseName = "warmpool-manager.warmpool.dev"
	// leaseSlack is how long after its end a lease is not renewed before that is a fault.
	leaseSlack = 15 * time.Second
	// answerLimit bounds what is read of the version of a server.
	answerLimit = 1 << 16
)

// checkServer asks the API server for its version, and looks at its clock.
func (v *visit) checkServer(ctx context.Context) {
	started := v.options.env.Clock.Now()
	info, date, err := serverVersion(ctx, v.cluster.Config)
	if err != nil {
		v.note(areaCluster, "API server", resultFault, "It does not answer: %s. Choose another cluster with --context, or look at your network.", err)
		return
	}
	v.note(areaCluster, "API server", resultOK, "Kubernetes %s at %s", info.GitVersion, v.cluster.Config.Host)
	if date.IsZero() {
		v.note(areaCluster, "clock", resultSkipped, "The API server does not say what time it is.")
		return
	}
	ended := v.options.env.Clock.Now()
	// The header is cut to seconds: it was written up to a second later than it says.
	skew := started.Add(ended.Sub(started) / 2).Sub(date.Add(time.Second / 2))
	switch size := skew.Abs(); {
	case size > skewFault:
		v.note(areaCluster, "clock", resultFault, "This machine and the API server differ by %s. Set the clock of this machine (NTP); if it is right, that of the server.", skew.Round(time.Second))
	case size > skewNoted+ended.Sub(started):
		v.note(areaCluster, "clock", resultNote, "This machine and the API server differ by %s, and so do the ages that are shown.", skew.Round(time.Second))
	default:
		v.note(areaCluster, "clock", resultOK, "This machine and the API server agree.")
	}
}

// serverVersion asks for the version, and returns the time that the server says it is.
func serverVersion(ctx context.Context, config *rest.Config) (version.Info, time.Time, error) {
	var info version.Info
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return info, time.Time{}, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return info, time.Time{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), http.NoBody)
	if err != nil {
		return info, time.Time{}, err
	}
	answer, err := httpClient.Do(request)
	if err != nil {
		return info, time.Time{}, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	if err != nil {
		return info, time.Time{}, err
	}
	if answer.StatusCode != http.StatusOK {
		return info, time.Time{}, fmt.Errorf("it answers %s to GET /version", answer.Status)
	}
	if err = json.Unmarshal(text, &info); err != nil {
		return info, time.Time{}, fmt.Errorf("reading its version: %w", err)
	}
	// A server may leave the header out; the time is zero then.
	date, _ := http.ParseTime(answer.Header.Get("Date")) //nolint:errcheck // see above
	return info, date, nil
}

// checkKinds looks whether the API server knows our kinds in our version.
func (v *visit) checkKinds() {
	var missing []string
	for _, kind := range []string{kindPool, kindInstance, kindAccount, kindClaim} {
		group := warmpool.GroupVersion.WithKind(kind)
		_, err := v.cluster.Client.RESTMapper().RESTMapping(group.GroupKind(), group.Version)
		switch {
		case meta.IsNoMatchError(err):
			missing = append(missing, kind)
		case err != nil:
			v.note(areaVersions, "CRDs", resultFault, "The kinds of the API server cannot be read: %s", err)
			return
		}
	}
	if len(missing) > 0 {
		v.note(areaVersions, "CRDs", resultFault, "The API server does not know %s in %s: install or upgrade the CRDs of Warmpool.", strings.Join(missing, ", "), warmpool.GroupVersion)
		return
	}
	v.note(areaVersions, "CRDs", resultOK, "All four kinds are served in %s.", warmpool.GroupVersion)
	v.note(areaVersions, "kubectl warmpool", resultOK, "%s", v.options.env.Version)
}

// checkManager looks at the operator and its lease.
func (v *visit) checkManager(ctx context.Context) {
	images, found := v.checkDeployments(ctx)
	if found {
		v.compareVersions(images)
	}
	var lease coordinationv1.Lease
	err := v.cluster.Client.Get(ctx, types.NamespacedName{Namespace: v.flags.managerNamespace, Name: leaseName}, &lease)
	switch {
	case apierrors.IsForbidden(err):
		v.note(areaOperator, "lease", resultSkipped, "You may not read leases in namespace %q; the last sweep of the account below tells as much.", v.flags.managerNamespace)
	case apierrors.IsNotFound(err):
		v.note(areaOperator, "lease", resultNote, "There is no lease %s in namespace %q. The operator runs elsewhere (--manager-namespace), without leader election, or not at all.", leaseName, v.flags.managerNamespace)
	case err != nil:
		v.note(areaOperator, "lease", resultFault, "The lease cannot be read: %s", err)
	default:
		v.judgeLease(&lease)
	}
}

func (v *visit) judgeLease(lease *coordinationv1.Lease) {
	holder, seconds := "", int32(0)
	if lease.Spec.HolderIdentity != nil {
		holder = *lease.Spec.HolderIdentity
	}
	if lease.Spec.LeaseDurationSeconds != nil {
		seconds = *lease.Spec.LeaseDurationSeconds
	}
	if holder == "" || lease.Spec.RenewTime == nil {
		v.note(areaOperator, "lease", resultFault, "Nobody holds the lease, so no operator is at work. Look at its pods: kubectl -n %s get pods", v.flags.managerNamespace)
		return
	}
	age := v.options.env.Clock.Now().Sub(lease.Spec.RenewTime.Time)
	if age > time.Duration(seconds)*time.Second+leaseSlack {
		v.note(areaOperator, "lease", resultFault, "%s holds the lease and has not renewed it for %s, so no operator is at work. Look at its pods: kubectl -n %s get pods", holder, age.Round(time.Second), v.flags.managerNamespace)
		return
	}
	v.note(areaOperator, "lease", resultOK, "%s is at work.", holder)
}

// checkDeployments looks for the operator's Deployment and returns its images.
func (v *visit) checkDeployments(ctx context.Context) (images []string, found bool) {
	var list appsv1.DeploymentList
	selector := client.MatchingLabels{"app.kubernetes.io/name": "warmpool", "app.kubernetes.io/component": "manager"}
	err := v.cluster.Client.List(ctx, &list, client.InNamespace(v.flags.managerNamespace), selector)
	switch {
	case apierrors.IsForbidden(err):
		v.note(areaOperator, "Deployment", resultSkipped, "You may not list Deployments in namespace %q.", v.flags.managerNamespace)
		return nil, false
	case err != nil:
		v.note(areaOperator, "Deployment", resultFault, "Deployments cannot be listed: %s", err)
		return nil, false
	case len(list.Items) == 0:
		v.note(areaOperator, "Deployment", resultNote, "There is no Deployment of the operator in namespace %q: it runs elsewhere (--manager-namespace), or outside of the cluster.", v.flags.managerNamespace)
		return nil, false
	}
	for k := range list.Items {
		deployment := &list.Items[k]
		result := resultOK
		if deployment.Status.ReadyReplicas == 0 {
			result = resultFault
		}
		var own []string
		for n := range deployment.Spec.Template.Spec.Containers {
			own = append(own, deployment.Spec.Template.Spec.Containers[n].Image)
		}
		v.note(areaOperator, "Deployment", result, "%s has %d of %d replicas ready, with %s", deployment.Name, deployment.Status.ReadyReplicas, deployment.Status.Replicas, strings.Join(own, ", "))
		images = append(images, own...)
	}
	return images, true
}

// compareVersions compares the tags of the operator's images with our version.
func (v *visit) compareVersions(images []string) {
	own := v.options.env.Version
	if !strings.HasPrefix(own, "v") {
		v.note(areaVersions, "operator", resultSkipped, "This program has no released version to compare with.")
		return
	}
	for _, image := range images {
		name, _, _ := strings.Cut(image, "@")
		tag := name[strings.LastIndexByte(name, ':')+1:]
		switch {
		case !strings.Contains(name, ":") || strings.Contains(tag, "/"):
			v.note(areaVersions, "operator", resultSkipped, "The image %s does not say its version.", image)
		case strings.TrimPrefix(tag, "v") != strings.TrimPrefix(own, "v"):
			v.note(areaVersions, "operator", resultNote, "The operator is %s and kubectl warmpool is %s: what one knows may be new to the other.", tag, own)
		default:
			v.note(areaVersions, "operator", resultOK, "The operator is %s, as kubectl warmpool.", tag)
		}
	}
}

// right is something that a person may or may not do, and what needs it.
type right struct {
	verb, group, resource string
	needs                 string
}

// rights are all that the commands need.
func rights() []right {
	const group = "warmpool.dev"
	return []right{
		{"list", group, "warmpools", "everything"},
		{"list", group, "warminstances", "everything"},
		{"list", group, "vastaccounts", "everything"},
		{"list", group, "warmclaims", "everything"},
		{"create", group, "warmclaims", "claim"},
		{"delete", group, "warmclaims", "release"},
		{"patch", group, "warmpools", "drain"},
		{"patch", group, "warminstances", "abandon"},
		{"create", group, "warminstances", "adopt"},
		{"patch", group, "vastaccounts", "emergency-stop"},
		{"get", "", "secrets", "logs, and tokens"},
		{"list", "", "events", "the events of --bundle"},
	}
}

// checkPermissions asks the API server what the person may do.
func (v *visit) checkPermissions(ctx context.Context) {
	var allowed, refused []string
	for _, one := range rights() {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: v.cluster.Namespace, Verb: one.verb, Group: one.group, Resource: one.resource},
		}}
		if err := v.cluster.Client.Create(ctx, review); err != nil {
			v.note(areaPermissions, "your rights", resultFault, "The API server does not say what you may do: %s", err)
			return
		}
		if review.Status.Allowed {
			allowed = append(allowed, one.needs)
			continue
		}
		result := resultNote
		if one.verb == "list" && one.group != "" {
			result = resultFault
		}
		v.note(areaPermissions, one.verb+" "+one.resource, result, "You may not do it in namespace %q, and it is needed for: %s. Ask for the role warmpool-editor or more.", v.cluster.Namespace, one.needs)
		refused = append(refused, one.needs)
	}
	slices.Sort(allowed)
	words := strings.Join(slices.Compact(allowed), "; ")
	if len(refused) == 0 {
		words = "every command"
	}
	v.note(areaPermissions, "your rights", resultOK, "They suffice for: %s.", words)
}
