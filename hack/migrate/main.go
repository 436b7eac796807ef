package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/dotenv"
)

// settings are the flags.
type settings struct {
	env, namespace, pool, secret, ceiling string
}

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("say what to print: secret, pool or report")

// run reads the .env and prints what was asked for.
func run(arguments []string, out, notes io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("migrate", flag.ContinueOnError)
	flags.SetOutput(notes)
	flags.StringVar(&s.env, "env", ".env", "path of the legacy .env")
	flags.StringVar(&s.namespace, "namespace", "default", "namespace of the pool and the Secret")
	flags.StringVar(&s.pool, "pool", "sdxl", "name of the WarmPool")
	flags.StringVar(&s.secret, "secret", "warmpool-credentials", "name of the Secret")
	flags.StringVar(&s.ceiling, "ceiling", "", "dollars per hour that the whole pool may cost; the legacy system had no such limit, so the pool needs one from you")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() != 1 || !slices.Contains([]string{"secret", "pool", "report"}, flags.Arg(0)) {
		return errUsage
	}
	text, err := os.ReadFile(s.env)
	if err != nil {
		return fmt.Errorf("reading the legacy .env (name it with --env): %w", err)
	}
	variables, err := dotenv.Parse(string(text))
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.env, err)
	}
	moved, err := migrate(variables, &s)
	if err != nil {
		return fmt.Errorf("moving %s: %w", s.env, err)
	}
	switch flags.Arg(0) {
	case "secret":
		return printYAML(out, moved.secretObject(&s))
	case "pool":
		if s.ceiling == "" {
			return errors.New("the pool needs --ceiling, the dollars per hour that it may cost in all, such as --ceiling=1.50")
		}
		return printYAML(out, moved.poolObject(&s))
	default:
		return moved.printReport(out)
	}
}

func printYAML(out io.Writer, object any) error {
	text, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	_, err = out.Write(text)
	return err
}

// secretObject is the Secret with the names of old.
func (m *move) secretObject(s *settings) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.secret},
		StringData: m.secret,
	}
}

// poolObject is the pool. It has no replicas: it rents nothing before somebody
// says how many there shall be.
func (m *move) poolObject(s *settings) map[string]any {
	replicas := int32(0)
	m.spec.Replicas = &replicas
	m.spec.Cost.CeilingUSDPerHour = warmpool.USD(s.ceiling)
	return map[string]any{
		"apiVersion": warmpool.GroupVersion.String(), "kind": "WarmPool",
		"metadata": map[string]any{"namespace": s.namespace, "name": s.pool},
		"spec":     m.spec,
	}
}

// printReport prints one line for each variable. It shows no value.
func (m *move) printReport(out io.Writer) error {
	var text strings.Builder
	text.WriteString("VARIABLE\tGOES TO\tNOTE\n")
	for _, line := range m.report {
		text.WriteString(line.name + "\t" + line.where + "\t" + line.note + "\n")
	}
	const gap = 2
	table := tabwriter.NewWriter(out, 0, 0, gap, ' ', 0)
	if _, err := io.WriteString(table, text.String()); err != nil {
		return err
	}
	return table.Flush()
}
