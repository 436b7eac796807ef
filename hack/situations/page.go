package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// header is all of the page that does not come from a situation.
const header = `<!-- Written by "make situations". Change hack/situations, or the texts where they are made, instead. -->

# Situations

What ` + "`kubectl`" + ` and ` + "`kubectl warmpool why`" + ` show of a pool, an instance and an account in the situations that people meet, word for word as a run of the operator on
a real API server and [simulated](simulator.md) Vast.ai accounts printed it. Every message says what happened, why, and what to do;
[Conditions and reasons](conditions.md) has all of them, [Find out what is wrong](../guides/troubleshooting.md) the way from a symptom to its cause.

Each situation is a namespace with one account and one pool. The Secret beside them holds the key of a simulated account, so nothing here cost anything.
`

// pageOf puts the page together.
func pageOf(all []situation, shown []string, speed int64) string {
	var page strings.Builder
	page.WriteString(header)
	if speed > 1 {
		fmt.Fprintf(&page, "The clocks of the operator and of Vast.ai ran %d times as fast as the wall, by which `kubectl` counts ages.\n", speed)
	}
	page.WriteString("\n")
	for k := range all {
		fmt.Fprintf(&page, "- [%s](#%s)\n", all[k].title, anchor(all[k].title))
	}
	for k := range all {
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n```yaml\n%s\n```\n\n%s", all[k].title, all[k].introduction, strings.TrimSpace(all[k].manifest), shown[k])
	}
	return page.String()
}

// anchor is how a heading is linked to.
func anchor(title string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		default:
			return -1
		}
	}, strings.ToLower(title))
	return kept
}

// errNoInstance reports a situation without the instance that is to be shown.
var errNoInstance = errors.New("there is no such instance")

// show runs the commands of a situation and returns them with their output.
func (s *stage) show(ctx context.Context, namespace string, instance func(*warmpool.WarmInstance) bool) (string, error) {
	seen, err := s.look(ctx, namespace)
	if err != nil {
		return "", err
	}
	name := ""
	for k := range seen.instances {
		if instance(&seen.instances[k]) {
			name = seen.instances[k].Name
			break
		}
	}
	if name == "" {
		return "", fmt.Errorf("showing %s: %w", namespace, errNoInstance)
	}
	if err = s.keepObjects(ctx, namespace); err != nil {
		return "", err
	}
	var page strings.Builder
	for _, arguments := range [][]string{
		{"get", "warmpools"},
		{"get", "wi"},
		{"get", "va"},
		{"describe", "wp", poolName},
		{"describe", "wi", name},
		{"describe", "va", accountName},
	} {
		output, runErr := s.run(ctx, namespace, "", arguments...)
		if runErr != nil {
			return "", runErr
		}
		fmt.Fprintf(&page, "```\n$ kubectl %s\n%s\n```\n\n", strings.Join(arguments, " "), trimmedLines(output))
	}
	output, err := s.runProgram(ctx, s.plugin, namespace, "", "why", poolName)
	if err != nil {
		return "", fmt.Errorf("%w; run 'make build'", err)
	}
	fmt.Fprintf(&page, "```\n$ kubectl warmpool why %s\n%s\n```\n", poolName, trimmedLines(output))
	return page.String(), nil
}

// keepObjects writes the objects of a situation to a file, if that is asked for.
func (s *stage) keepObjects(ctx context.Context, namespace string) error {
	if s.objects == "" {
		return nil
	}
	text, err := s.run(ctx, namespace, "", "get", "va,wp,wi,wc", "-o", "yaml")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.objects, namespace+".yaml"), []byte(text), 0o644) //nolint:gosec // test data is for everybody
}

// trimmedLines drops the blanks at the ends of lines, which kubectl prints and
// nobody sees.
func trimmedLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for k := range lines {
		lines[k] = strings.TrimRight(lines[k], " ")
	}
	return strings.Join(lines, "\n")
}
