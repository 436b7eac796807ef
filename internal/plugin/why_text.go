package plugin

import (
	"fmt"
	"io"
	"strings"
)

// logLinesShown is how many of the last lines of a failed instance's log why shows.
const logLinesShown = 6

// write implements report.
func (r *whyReport) write(out io.Writer, _ bool) error {
	var text strings.Builder
	state := "is at its size"
	if !r.AtSize {
		state = "is not at its size: " + r.Reason
	}
	fmt.Fprintf(&text, "%s %s/%s %s.\n%s\n\n", kindPool, r.Namespace, r.Pool, state, plainLines(r.Message))
	checks := newTable("CHECK", "OK", "DETAIL")
	said := r.Message
	for _, one := range r.Checks {
		checks.add(one.Name, one.Answer, once(&said, one.Detail))
	}
	text.WriteString(checks.text(""))
	if r.Offers != nil {
		text.WriteString("\n" + r.Offers.text())
	}
	text.WriteString(waitText("Waiting for a rental:", r.Waiting, &said))
	text.WriteString(waitText("Rented, and not ready:", r.OnTheWay, &said))
	for k := range r.Failures {
		text.WriteString(r.Failures[k].text(k == 0))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func (v *offersView) text() string {
	var text strings.Builder
	fmt.Fprintf(&text, "Offers of the search at %s: %d seen, %d left.\n", v.Time, v.Seen, v.Passed)
	if len(v.Filters) > 0 {
		filters := newTable("FILTER", "TURNED AWAY", "LEFT", "FIELD", "VALUE")
		for _, filter := range v.Filters {
			filters.add(filter.Filter, fmt.Sprint(filter.Rejected), fmt.Sprint(filter.Left), filter.Field, filter.Value)
		}
		text.WriteString(filters.text("  "))
	}
	if v.CheapestUSDPerHour != "" {
		fmt.Fprintf(&text, "  The cheapest that matches costs $%s/h.\n", v.CheapestUSDPerHour)
	}
	return text.String()
}

// once is a sentence, or that it was said before: one cause is often the answer to
// several questions.
func once(said *string, sentence string) string {
	if sentence != "" && strings.Contains(*said, sentence) {
		return "as said above"
	}
	*said += "\n" + sentence
	return sentence
}

func waitText(title string, views []waitView, said *string) string {
	if len(views) == 0 {
		return ""
	}
	list := newTable("INSTANCE", "REASON", "MESSAGE")
	for k := range views {
		list.add(views[k].Instance, views[k].Reason, once(said, views[k].Message))
	}
	return "\n" + title + "\n" + list.text("  ")
}

func (f *failView) text(first bool) string {
	var text strings.Builder
	if first {
		text.WriteString("\nFailed lately, newest first:\n")
	}
	blame := "the template or the network may be to blame"
	if f.HostFault {
		blame = "the machine is to blame and is avoided"
	}
	fmt.Fprintf(&text, "  %s on machine %s at %s: %s (%s)\n", f.Instance, number(f.Machine), f.Time, f.Reason, blame)
	text.WriteString(indented(f.Message, "    "))
	if first && f.LogTail != "" {
		lines := strings.Split(strings.TrimRight(f.LogTail, "\n"), "\n")
		lines = lines[max(len(lines)-logLinesShown, 0):]
		text.WriteString("    the end of its log:\n" + indented(strings.Join(lines, "\n"), "      | "))
	}
	return text.String()
}
