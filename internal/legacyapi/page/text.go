package page

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// escapeSequences are what programs send to colour a terminal; in a log tail
// they are noise.
const escapeSequences = `\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])`

// cleaner makes texts of others fit to be shown. html/template escapes them;
// what it leaves are characters that hide or reorder text.
type cleaner struct {
	escapes *regexp.Regexp
	host    *regexp.Regexp
}

func newCleaner() *cleaner {
	return &cleaner{
		escapes: regexp.MustCompile(escapeSequences),
		// A name, an IPv4 or an IPv6 address: nothing that a shell would act upon.
		host: regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?$|^[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,45}$`),
	}
}

// line makes one line: control characters become spaces, and those that change
// the direction of text or are invisible become U+FFFD.
func (c *cleaner) line(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return visible(r)
	}, c.escapes.ReplaceAllString(text, "")))
}

// block is line for several lines: line feeds and tabs stay.
func (c *cleaner) block(text string) string {
	text = strings.ReplaceAll(c.escapes.ReplaceAllString(text, ""), "\r\n", "\n")
	return strings.TrimRight(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r' || r == '\u2028' || r == '\u2029':
			return '\n'
		case unicode.IsControl(r):
			return unicode.ReplacementChar
		}
		return visible(r)
	}, text), "\n\t ")
}

func visible(r rune) rune {
	const zeroWidthJoiner, zeroWidthNonJoiner = '\u200d', '\u200c'
	if unicode.Is(unicode.Cf, r) && r != zeroWidthJoiner && r != zeroWidthNonJoiner {
		return unicode.ReplacementChar
	}
	return r
}

// link returns the address when a browser may open it: http or https with a
// host and without a user; empty otherwise.
func (*cleaner) link(text string) string {
	address, err := url.Parse(text)
	if err != nil || address.Host == "" || address.User != nil {
		return ""
	}
	if address.Scheme != "http" && address.Scheme != "https" {
		return ""
	}
	return address.String()
}

// ssh returns the command that opens a shell, empty when host or port are not
// what a host and a port look like: people paste it into a shell.
func (c *cleaner) ssh(host string, port int32) string {
	const maxPort = 65535
	if !c.host.MatchString(host) || port <= 0 || port > maxPort {
		return ""
	}
	return fmt.Sprintf("ssh -p %d root@%s", port, host)
}

// age says how long something is ago, in one or two units: "40 s", "12 min",
// "3 h 5 min", "2 d 4 h". What lies ahead is "0 s".
func age(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < day:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d %d h", int(d/day), int(d%day/time.Hour))
	}
}

// plural is "1 instance", "2 instances".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// moment is a time as the page shows it.
type moment struct {
	// Machine is the RFC 3339 form, empty for the zero time.
	Machine string
	// Full is for people: "25 Nov 16:28:57 UTC".
	Full string
	// Ago is the age at the time of the page.
	Ago string
}

func momentOf(t, now time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	t = t.UTC()
	return moment{Machine: t.Format(time.RFC3339), Full: t.Format("2 Jan 15:04:05 MST"), Ago: age(now.Sub(t))}
}
