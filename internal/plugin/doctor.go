package plugin

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The results of a check of doctor.
const (
	resultOK      = "ok"
	resultNote    = "note"
	resultFault   = "FAULT"
	resultSkipped = "skipped"
)

// doctorReport is what doctor found.
type doctorReport struct {
	Namespace string    `json:"namespace"`
	Time      string    `json:"time"`
	Faults    int       `json:"faults"`
	Findings  []finding `json:"findings"`
}

// finding is one thing that was looked at.
type finding struct {
	// Area groups findings: cluster, versions, operator, permissions, account or reachability.
	Area string `json:"area"`
	// What was looked at.
	What string `json:"what"`
	// Result is ok, note, FAULT or skipped.
	Result string `json:"result"`
	// Detail says what was found, and what to do.
	Detail string `json:"detail"`
}

// doctorFlags say where to look.
type doctorFlags struct {
	bundle           string
	managerNamespace string
	dial             bool
}

func newDoctor(o *options) *cobra.Command {
	flags := &doctorFlags{}
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Check cluster, versions, operator, permissions, credentials, clocks and reachability",
		Long: "doctor looks at everything that has to be right: the API server and its clock, the kinds, the operator and its lease, your own permissions,\n" +
			"the credentials and conditions of every account in the namespace, and whether ComfyUI of ready instances answers from here.\n" +
			"It exits with 3 when something is not in order.\n\n" +
			"--bundle writes a file for a report: all that was found, and the objects and events of the namespace, without Secrets, without values of\n" +
			"environment variables, and without whatever looks like a key, a token or a password. Look at it before you hand it on.",
		Example: "  kubectl warmpool doctor\n  kubectl warmpool doctor --bundle=support.tar.gz",
		Args:    arguments(0, 0, "no arguments"),
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := o.connect()
			if err != nil {
				return err
			}
			return o.doctor(command.Context(), cluster, flags)
		},
	}
	command.Flags().StringVar(&flags.bundle, "bundle", "", "also write a support bundle (tar.gz) to this file, which must not exist")
	command.Flags().StringVar(&flags.managerNamespace, "manager-namespace", "warmpool-system", "where the operator runs")
	command.Flags().BoolVar(&flags.dial, "dial", true, "try to reach the instances from here")
	o.addOutput(command, false)
	return command
}

// doctor looks at everything, prints it and writes the bundle.
func (o *options) doctor(ctx context.Context, cluster *Cluster, flags *doctorFlags) error {
	visit := &visit{options: o, cluster: cluster, flags: flags}
	answer := visit.examine(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if flags.bundle != "" {
		if err := visit.writeBundle(ctx, answer); err != nil {
			return err
		}
		o.say("Wrote %s. It has no Secrets; look at it before you hand it on.", flags.bundle)
	}
	if err := o.print(answer); err != nil {
		return err
	}
	if answer.Faults > 0 {
		return exit(ExitFindings, "%s not in order", plural(answer.Faults, "thing is", "things are"))
	}
	return nil
}

// visit is one run of doctor.
type visit struct {
	options *options
	cluster *Cluster
	flags   *doctorFlags
	// seen is what the namespace holds, nil when it could not be read.
	seen     *world
	findings []finding
}

// note adds a finding.
func (v *visit) note(area, what, result, format string, arguments ...any) {
	v.findings = append(v.findings, finding{Area: area, What: what, Result: result, Detail: fmt.Sprintf(format, arguments...)})
}

// examine makes all checks. None of them stops the others.
func (v *visit) examine(ctx context.Context) *doctorReport {
	now := v.options.env.Clock.Now()
	v.checkServer(ctx)
	v.checkKinds()
	v.checkManager(ctx)
	v.checkPermissions(ctx)
	seen, err := v.cluster.look(ctx, now, false)
	if err != nil {
		v.note("account", "objects", resultFault, "%s", err)
	} else {
		v.seen = seen
		v.checkAccounts(ctx)
		v.checkReachability(ctx)
	}
	answer := &doctorReport{Namespace: v.cluster.Namespace, Time: now.UTC().Format("2006-01-02T15:04:05Z07:00"), Findings: v.findings}
	for k := range v.findings {
		if v.findings[k].Result == resultFault {
			answer.Faults++
		}
	}
	return answer
}

// write implements report.
func (r *doctorReport) write(out io.Writer, _ bool) error {
	list := newTable("AREA", "WHAT", "RESULT", "DETAIL")
	for k := range r.Findings {
		one := &r.Findings[k]
		list.add(one.Area, one.What, one.Result, one.Detail)
	}
	var text strings.Builder
	text.WriteString(list.text(""))
	if r.Faults == 0 {
		text.WriteString("\nEverything that was looked at is in order.\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}
