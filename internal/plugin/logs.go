package plugin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

const (
	// followPeriod is the time between two looks at a log. Each makes Vast.ai upload
	// it anew, so that more often would bring little.
	followPeriod = 5 * time.Second
	// defaultLogLines and mostLogLines bound how much is asked for.
	defaultLogLines = 100
	mostLogLines    = 1000
	// keyBaseURL is an optional key beside the API key.
	keyBaseURL = "VASTAI_BASE_URL"
)

// logFlags say how much of a log is shown.
type logFlags struct {
	follow bool
	lines  int
	url    string
}

func newLogs(o *options) *cobra.Command {
	flags := &logFlags{}
	command := &cobra.Command{
		Use:   "logs INSTANCE|claim/NAME",
		Short: "Show the log of an instance, which Vast.ai fetches from the machine",
		Long: "logs asks Vast.ai for the log of a rental, with the key in the account's Secret: whoever may not read that Secret cannot use it. Vast.ai uploads\n" +
			"the log, which takes seconds. Keys, tokens and passwords are taken out of it, and without the Secrets that the container was given nothing\n" +
			"is shown. For an instance that was given up, the end of the log that the operator kept is shown.",
		Example:           "  kubectl warmpool logs sdxl-x7k2p\n  kubectl warmpool logs claim/job -f",
		Args:              arguments(1, 1, "one instance or claim/NAME"),
		ValidArgsFunction: o.completeTarget,
		RunE: func(command *cobra.Command, given []string) error {
			return o.logs(command.Context(), given[0], flags)
		},
	}
	command.Flags().BoolVarP(&flags.follow, "follow", "f", false, fmt.Sprintf("go on, and show what is new every %s, until Ctrl-C", followPeriod))
	command.Flags().IntVar(&flags.lines, "tail", defaultLogLines, fmt.Sprintf("number of lines to begin with, at most %d", mostLogLines))
	command.Flags().StringVar(&flags.url, "vast-base-url", "", "address of the Vast.ai API, if the operator has another one than the default; by default "+keyBaseURL+" of the Secret")
	return command
}

// logs shows the log of an instance.
func (o *options) logs(ctx context.Context, name string, flags *logFlags) error {
	if flags.lines < 1 || flags.lines > mostLogLines {
		return exit(ExitUsage, "--tail is %d, and can be 1 to %d", flags.lines, mostLogLines)
	}
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	found, err := cluster.resolve(ctx, name)
	if err != nil {
		return err
	}
	instance := found.instance
	if failure := instance.Status.Failure; failure != nil && failure.LogTail != "" {
		o.say("WarmInstance %s was given up: %s: %s The end of its log, as the operator kept it:", instance.Name, failure.Reason, plainLines(failure.Message))
		_, err = io.WriteString(o.env.Streams.Out, indented(failure.LogTail, ""))
		return err
	}
	if instance.Status.Rental == nil {
		return fmt.Errorf("WarmInstance %q is not rented yet, so it has no log: kubectl warmpool why %s says what it waits for", instance.Name, instance.Spec.PoolRef.Name)
	}
	source, err := o.logSource(ctx, cluster, instance, flags)
	if err != nil {
		return err
	}
	defer source.close()
	return o.showLog(ctx, source, flags)
}

// logSource is where the log of one rental comes from.
type logSource struct {
	client    *vastai.Client
	transport *http.Transport
	rental    int64
	// secrets must not be shown.
	secrets []string
}

func (s *logSource) close() { s.transport.CloseIdleConnections() }

// logSource reads the key and the secrets, with the rights of the person.
func (o *options) logSource(ctx context.Context, cluster *Cluster, instance *warmpool.WarmInstance, flags *logFlags) (*logSource, error) {
	account := &warmpool.VastAccount{}
	if err := cluster.get(ctx, instance.Spec.AccountRef.Name, account); err != nil {
		return nil, err
	}
	ref := account.Spec.CredentialsSecretRef
	var secret corev1.Secret
	if err := cluster.Client.Get(ctx, types.NamespacedName{Namespace: cluster.Namespace, Name: ref.Name}, &secret); err != nil {
		return nil, noLogKey(cluster, err, ref.Name)
	}
	source := &logSource{rental: instance.Status.Rental.ID, transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}
	values, err := cluster.secretValues(ctx, instance)
	if err != nil {
		return nil, fmt.Errorf("the log is not shown, because what must be taken out of it is not known: %w", err)
	}
	key, base := controllers.KeyText(secret.Data[ref.Key]), flags.url
	if base == "" {
		base = controllers.KeyText(secret.Data[keyBaseURL])
	}
	source.secrets = append(values, key)
	source.client, err = vastai.New(vastai.Options{BaseURL: base, APIKey: key, Clock: o.env.Clock, Transport: source.transport, UserAgent: "kubectl-warmpool"})
	if err != nil {
		return nil, fmt.Errorf("the key in Secret %q, key %q, cannot be used: %w", ref.Name, ref.Key, err)
	}
	return source, nil
}

// noLogKey says why there is no key to ask for a log with.
func noLogKey(cluster *Cluster, err error, name string) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("logs needs the key of the account, and you may not read Secret %q in namespace %q: ask somebody who may, or log in to the machine with kubectl warmpool ssh", name, cluster.Namespace)
	}
	return cluster.explain(err, "read", &corev1.Secret{}, name)
}

// secretValues are the values of the Secrets that the container was given.
func (c *Cluster) secretValues(ctx context.Context, instance *warmpool.WarmInstance) ([]string, error) {
	var values []string
	for _, name := range controllers.SecretsOf(instance) {
		var secret corev1.Secret
		if err := c.Client.Get(ctx, types.NamespacedName{Namespace: instance.Namespace, Name: name}, &secret); err != nil {
			return nil, c.explain(err, "read", &secret, name)
		}
		for _, value := range secret.Data {
			values = append(values, strings.TrimSpace(string(value)))
		}
	}
	return values, nil
}

// lines fetches the last lines of the log, without secrets.
func (s *logSource) lines(ctx context.Context, n int) ([]string, error) {
	text, err := s.client.Logs(ctx, s.rental, n)
	if err != nil {
		return nil, err
	}
	text = strings.TrimRight(plainLines(controllers.WithoutSecrets(text, s.secrets)), "\n")
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}

// showLog shows the log, and goes on if it is asked to.
func (o *options) showLog(ctx context.Context, source *logSource, flags *logFlags) error {
	o.say("Vast.ai fetches the log of rental %d; this takes some seconds.", source.rental)
	var shown []string
	for {
		lines, err := source.lines(ctx, flags.lines)
		switch {
		case err == nil:
			if writeErr := o.showNew(shown, lines); writeErr != nil {
				return writeErr
			}
			shown = lines
		case ctx.Err() != nil:
			return ctx.Err()
		case !flags.follow || !passes(err):
			return fmt.Errorf("fetching the log of rental %d from Vast.ai: %w", source.rental, err)
		default:
			o.say("Vast.ai did not hand out the log this time; it is tried again: %s", err)
		}
		if !flags.follow {
			return nil
		}
		flags.lines = mostLogLines
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.env.Clock.After(followPeriod):
		}
	}
}

// passes is true for an error that may be gone at the next look.
func passes(err error) bool {
	switch fleet.KindOf(err) {
	case fleet.KindUnavailable, fleet.KindRateLimited:
		return true
	default:
		return false
	}
}

// showNew writes the lines that were not shown before.
func (o *options) showNew(shown, lines []string) error {
	fresh, gap := newLines(shown, lines)
	if gap {
		o.say("… lines may be missing here: the log grew faster than it was looked at")
	}
	if len(fresh) == 0 {
		return nil
	}
	_, err := io.WriteString(o.env.Streams.Out, strings.Join(fresh, "\n")+"\n")
	return err
}

// newLines are the lines behind those that were shown. The two windows overlap
// where an end of the old one is found in the new one; gap is true when they do
// not, so that something in between may be missing.
func newLines(shown, lines []string) (fresh []string, gap bool) {
	if len(shown) == 0 || len(lines) == 0 {
		return lines, false
	}
	for end := len(lines); end > 0; end-- {
		n := min(end, len(shown))
		if slices.Equal(shown[len(shown)-n:], lines[end-n:end]) {
			return lines[end:], false
		}
	}
	return lines, true
}
