package plugin

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// prefixClaim begins a target that is a claim.
const prefixClaim = "claim/"

// keyOf is the key of an object.
func keyOf(object client.Object) types.NamespacedName { return client.ObjectKeyFromObject(object) }

// target is an instance that a command is about, and the claim it was named by.
type target struct {
	instance *warmpool.WarmInstance
	claim    *warmpool.WarmClaim
}

// resolve finds what a person names: an instance, or claim/NAME for the one that a claim holds.
func (c *Cluster) resolve(ctx context.Context, name string) (*target, error) {
	found := &target{instance: &warmpool.WarmInstance{}}
	if claimName, isClaim := strings.CutPrefix(name, prefixClaim); isClaim {
		found.claim = &warmpool.WarmClaim{}
		if err := c.get(ctx, claimName, found.claim); err != nil {
			return nil, err
		}
		if found.claim.Status.InstanceRef == nil || found.claim.Status.FinishedTime != nil {
			return nil, fmt.Errorf("WarmClaim %q holds no instance: %s", claimName, conditionOf(found.claim.Status.Conditions, warmpool.ConditionBound).Message)
		}
		name = found.claim.Status.InstanceRef.Name
	}
	if err := c.get(ctx, name, found.instance); err != nil {
		return nil, err
	}
	return found, nil
}

// tokenSource is where the token of the target is.
func (t *target) tokenSource() (secret, key string) {
	switch {
	case t.claim != nil && t.claim.Status.CredentialsSecretRef != nil:
		return t.claim.Status.CredentialsSecretRef.Name, warmpool.SecretKeyClaimToken
	case t.instance.Status.CredentialsSecretRef != nil:
		return t.instance.Status.CredentialsSecretRef.Name, warmpool.SecretKeyWebPassword
	default:
		return "", ""
	}
}

// browsers are the programs that open a URL, by what the system has.
func browsers() []string { return []string{"xdg-open", "open", "wslview"} }

func newOpen(o *options) *cobra.Command {
	var browser bool
	command := &cobra.Command{
		Use:   "open INSTANCE|claim/NAME",
		Short: "Print the URL of ComfyUI on an instance and where its token is; --browser opens it",
		Long: "open prints where ComfyUI of an instance answers, and the command that prints its token. The token itself is not printed. The certificate of\n" +
			"an instance is signed by nobody that a browser knows: compare its fingerprint, which is printed too.",
		Example:           "  kubectl warmpool open claim/job\n  kubectl warmpool open sdxl-x7k2p --browser",
		Args:              arguments(1, 1, "one instance or claim/NAME"),
		ValidArgsFunction: o.completeTarget,
		RunE: func(command *cobra.Command, given []string) error {
			cluster, err := o.connect()
			if err != nil {
				return err
			}
			found, err := cluster.resolve(command.Context(), given[0])
			if err != nil {
				return err
			}
			return o.open(command.Context(), found, browser)
		},
	}
	command.Flags().BoolVar(&browser, "browser", false, "open the URL in a browser")
	return command
}

// open prints the address and where the token is.
func (o *options) open(ctx context.Context, found *target, browser bool) error {
	instance := found.instance
	address := endpointOf(instance)
	parsed, err := url.Parse(address)
	if address == "" || err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return fmt.Errorf("WarmInstance %q has no address of ComfyUI yet: %s", instance.Name, conditionOf(instance.Status.Conditions, warmpool.ConditionReady).Message)
	}
	secret, key := found.tokenSource()
	text := fmt.Sprintf("ComfyUI:     %s\nToken:       %s\n", parsed.String(), tokenCommand(instance.Namespace, secret, key))
	if instance.Status.CertificateSHA256 != "" {
		text += "Certificate: SHA-256 " + instance.Status.CertificateSHA256 + "\n"
	}
	if _, err = fmt.Fprint(o.env.Streams.Out, plainLines(text)); err != nil {
		return err
	}
	if !browser {
		return nil
	}
	for _, program := range browsers() {
		if err = o.env.Execute(ctx, program, parsed.String()); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no browser could be started (%s): open the URL above yourself", strings.Join(browsers(), ", "))
}

// sshHost is what may stand on the command line of ssh. The host comes from a
// stranger: one that begins with a hyphen would be an option.
var sshHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$`)

func newSSH(o *options) *cobra.Command {
	var dryRun bool
	command := &cobra.Command{
		Use:   "ssh INSTANCE|claim/NAME [-- COMMAND...]",
		Short: "Log in to an instance with ssh",
		Long: "ssh runs your ssh with the host and port of an instance, as root. It works with a key that spec.template.sshPublicKeys of the pool lists.\n" +
			"What stands behind -- runs on the instance.",
		Example: "  kubectl warmpool ssh sdxl-x7k2p\n" +
			"  kubectl warmpool ssh sdxl-x7k2p -- tail -f /var/log/comfyui.log\n" +
			"  kubectl warmpool ssh sdxl-x7k2p --dry-run",
		Args:              arguments(1, -1, "one instance or claim/NAME, and what to run there"),
		ValidArgsFunction: o.completeTarget,
		RunE: func(command *cobra.Command, given []string) error {
			cluster, err := o.connect()
			if err != nil {
				return err
			}
			found, err := cluster.resolve(command.Context(), given[0])
			if err != nil {
				return err
			}
			line, err := sshLine(found.instance, given[1:])
			if err != nil {
				return err
			}
			if dryRun {
				_, err = fmt.Fprintln(o.env.Streams.Out, "ssh "+quoted(line))
				return err
			}
			if !found.instance.Status.SSH.KeysAttached {
				o.say("No key was attached to this instance (spec.template.sshPublicKeys of its pool): ssh may refuse you.")
			}
			return o.env.Execute(command.Context(), "ssh", line...)
		},
	}
	command.Flags().BoolVar(&dryRun, "dry-run", false, "print the line instead of running it")
	return command
}

// sshLine are the arguments of ssh for an instance.
func sshLine(instance *warmpool.WarmInstance, run []string) ([]string, error) {
	ssh := &instance.Status.SSH
	if ssh.Host == "" || ssh.Port == 0 {
		return nil, fmt.Errorf("WarmInstance %q has no address for ssh: %s", instance.Name, conditionOf(instance.Status.Conditions, warmpool.ConditionReady).Message)
	}
	if !sshHost.MatchString(ssh.Host) {
		return nil, fmt.Errorf("the host for ssh of WarmInstance %q is %q, which is no name of a host: do not connect to it", instance.Name, ssh.Host)
	}
	line := []string{"-p", strconv.Itoa(int(ssh.Port)), "-l", "root", "--", ssh.Host}
	return append(line, run...), nil
}

// quoted writes arguments as a shell would take them.
func quoted(line []string) string {
	words := make([]string, len(line))
	plain := regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)
	for k, word := range line {
		if words[k] = word; !plain.MatchString(word) {
			words[k] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
