package options

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// envPrefix starts the environment variable of every flag: --vast-base-url is
// WARMPOOL_VAST_BASE_URL.
const envPrefix = "WARMPOOL_"

// LookupEnv finds an environment variable, as os.LookupEnv does.
type LookupEnv func(name string) (string, bool)

// EnvironmentVariable returns the variable that stands in for a flag.
func EnvironmentVariable(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parse reads the environment first and the arguments second, so that a flag
// wins over its variable. Errors name the flag, the value and where it came from.
func parse(flags *flag.FlagSet, arguments []string, lookup LookupEnv) error {
	flags.SetOutput(io.Discard)
	var failures []error
	flags.VisitAll(func(f *flag.Flag) {
		variable := EnvironmentVariable(f.Name)
		value, found := lookup(variable)
		if !found || value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			failures = append(failures, fmt.Errorf("environment variable %s=%q: %w", variable, value, err))
		}
	})
	if err := flags.Parse(arguments); err != nil {
		failures = append(failures, fmt.Errorf("reading flags: %w", err))
	}
	if flags.NArg() > 0 {
		failures = append(failures, fmt.Errorf("unexpected argument %q: every setting is a flag, see --help", flags.Arg(0)))
	}
	return errors.Join(failures...)
}

// usage writes every flag with its variable, default and meaning.
func usage(flags *flag.FlagSet, out io.Writer) error {
	var text strings.Builder
	text.WriteString("  --version\n      print version, commit, Go and platform, and end\n")
	flags.VisitAll(func(f *flag.Flag) {
		fmt.Fprintf(&text, "  --%s (%s, default %q)\n      %s\n", f.Name, EnvironmentVariable(f.Name), f.DefValue, f.Usage)
	})
	_, err := io.WriteString(out, text.String())
	return err
}
