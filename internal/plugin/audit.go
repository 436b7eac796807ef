package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/audithead"
)

// auditFlags are those of audit verify.
type auditFlags struct {
	dir, component, head string
	saltFiles            []string
	accept, published    bool
}

func newAudit(o *options) *cobra.Command {
	command := &cobra.Command{
		Use:   "audit",
		Short: "Verify an audit log",
		Args:  noCommand,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	flags := &auditFlags{}
	verify := &cobra.Command{
		Use:   "verify --dir=DIRECTORY",
		Short: "Verify that an audit log is whole: every signature, the chain, and the published head",
		Long: "verify reads the files of an audit log and says whether a record was changed, taken out or cut off. It is the same as \"sidecar audit verify\".\n" +
			"The salts come from the variable " + audit.SaltVariable + " and from --salt-file. With --published the head is read from the cluster, from the ConfigMap\n" +
			"of the component in the namespace; otherwise no cluster is needed. It exits with 3 when the log is broken.",
		Example: "  AUDIT_SALT=... kubectl warmpool audit verify --dir=./audit\n" +
			"  kubectl warmpool -n warmpool-system audit verify --dir=./audit --component=manager --published --salt-file=salt",
		Args: arguments(0, 0, "no arguments"),
		RunE: func(command *cobra.Command, _ []string) error { return o.verifyAudit(command.Context(), flags) },
	}
	verify.Flags().StringVar(&flags.dir, "dir", "", "directory of the audit files (required)")
	verify.Flags().StringVar(&flags.component, "component", "", "name of the log: manager or sidecar; not needed when the directory holds only one")
	verify.Flags().StringVar(&flags.head, "head", "", "published head, as JSON or as the path of a file")
	verify.Flags().BoolVar(&flags.published, "published", false, "read the head from the cluster; needs --component")
	verify.Flags().StringArrayVar(&flags.saltFiles, "salt-file", nil, "file with a salt, besides $"+audit.SaltVariable+"; may be given for every salt there was")
	verify.Flags().BoolVar(&flags.accept, "accept-unknown-salts", false, "accept records under an earlier salt when a later record vouches for them")
	command.AddCommand(verify)
	return command
}

// verifyAudit hands over to the command that all programs share.
func (o *options) verifyAudit(ctx context.Context, flags *auditFlags) error {
	head := flags.head
	if flags.published {
		var err error
		if head, err = o.publishedHead(ctx, flags); err != nil {
			return err
		}
	}
	var line []string
	for _, one := range []struct{ name, value string }{{"dir", flags.dir}, {"component", flags.component}, {"head", head}} {
		if one.value != "" {
			line = append(line, "--"+one.name+"="+one.value)
		}
	}
	for _, path := range flags.saltFiles {
		line = append(line, "--salt-file="+path)
	}
	if flags.accept {
		line = append(line, "--accept-unknown-salts")
	}
	err := audit.VerifyCommand(ctx, o.env.Streams.Out, line, o.env.LookupEnv)
	if errors.Is(err, audit.ErrBroken) {
		return exit(ExitFindings, "%s", err)
	}
	return err
}

// publishedHead reads the head of a log from the cluster, as JSON.
func (o *options) publishedHead(ctx context.Context, flags *auditFlags) (string, error) {
	switch {
	case flags.component == "":
		return "", exit(ExitUsage, "--published needs --component: manager or sidecar")
	case flags.head != "":
		return "", exit(ExitUsage, "--published and --head exclude each other: give one of them")
	}
	cluster, err := o.connect()
	if err != nil {
		return "", err
	}
	head, err := audithead.New(cluster.Client, cluster.Namespace, flags.component).Published(ctx)
	if err != nil {
		return "", err
	}
	if head == nil {
		return "", fmt.Errorf("there is no ConfigMap %s in namespace %q: give the namespace of the %s with -n", audithead.Name(flags.component), cluster.Namespace, flags.component)
	}
	text, err := json.Marshal(head)
	return string(text), err
}
