package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

const (
	// environmentPrefix starts the variable of every flag: --seed is WARMPOOL_RUN_SEED.
	environmentPrefix = "WARMPOOL_RUN_"
	// defaultSpeed lets the slowest machine of the market (six minutes of pulling,
	// two of starting) be ready within half a minute.
	defaultSpeed = 30
	// maxSpeed keeps simulated steps longer than the operator's looks at them.
	maxSpeed = 1000
	// maxReplicas is what the API server allows.
	maxReplicas = 500
)

// settings is what the flags say.
type settings struct {
	// seed fixes every draw of the simulator; speed is simulated seconds per second.
	seed  uint64
	speed float64
	// replicas is the size of the pool; ceiling its dollars per hour, empty for the sample's.
	replicas int
	ceiling  string
	// faults are set in the simulator before the pool exists.
	faults []simulator.FaultSpec
	// once proves the whole and ends; keep leaves it running afterwards.
	once, keep bool
	// real rents on the real Vast.ai; yes skips the question.
	real, yes bool
	// sidecarPort is where the legacy API is; 0 starts none.
	sidecarPort int
	// directory has the logs, the kubeconfig and the state of the run; empty for the usual one.
	directory string
	// verbose logs also why nothing was done, and tells more about the start.
	verbose bool
}

// flagsOf binds the settings to their flags.
func flagsOf(s *settings) *flag.FlagSet {
	flags := flag.NewFlagSet("make run", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Uint64Var(&s.seed, "seed", 1, "seed of the simulator: market, durations, drift")
	flags.Float64Var(&s.speed, "speed", defaultSpeed, "simulated seconds per second; at 1 an instance takes 3 to 9 minutes, as it does on Vast.ai")
	flags.IntVar(&s.replicas, "replicas", 2, "ready instances that the pool sdxl shall have")
	flags.StringVar(&s.ceiling, "ceiling", "", "dollars per hour that the pool may cost; by default what config/samples/warmpool.yaml says")
	flags.Func("fault", "fault of the simulator from the start, name=key=value,key=value; may be repeated. A wrong name lists all. "+
		"Beside a fault's own parameters: count, duration (simulated seconds), endpoint, method, rental, label, machine, offer", func(text string) error {
		for word := range strings.FieldsSeq(text) {
			fault, err := parseFault(word)
			if err != nil {
				return err
			}
			s.faults = append(s.faults, fault)
		}
		return nil
	})
	flags.BoolVar(&s.once, "once", false, "bring the pool up, scale it, run it into a ceiling, delete it, check the simulator's meter, and end; exit code 1 if anything fell short")
	flags.BoolVar(&s.keep, "keep", false, "with --once: leave everything running at the end, until Ctrl-C")
	flags.BoolVar(&s.real, "real", false, "rent on the real Vast.ai, with VASTAI_API_KEY of .env or the environment. This costs money")
	flags.BoolVar(&s.yes, "yes", false, "with --real: do not ask")
	flags.IntVar(&s.sidecarPort, "sidecar-port", 3000, "port of the legacy HTTP API on this machine, or a free one when it is taken; 0 starts none")
	flags.StringVar(&s.directory, "directory", "", "directory of the logs, the kubeconfig and the state, so that a second run can go on beside a first; by default .run")
	flags.BoolVar(&s.verbose, "verbose", false, "log also why nothing was done, and every call to Vast.ai, into .run/manager.log")
	return flags
}

// parseSettings reads the environment first and the arguments second, so that
// a flag wins over its variable.
func parseSettings(arguments []string, lookup func(string) (string, bool)) (settings, error) {
	var s settings
	var failures []error
	flags := flagsOf(&s)
	flags.VisitAll(func(f *flag.Flag) {
		value, found := lookup(variableOf(f.Name))
		if !found || value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			failures = append(failures, fmt.Errorf("environment variable %s=%q: %w", variableOf(f.Name), value, err))
		}
	})
	if err := flags.Parse(arguments); err != nil {
		return settings{}, errors.Join(append(failures, err)...)
	}
	if flags.NArg() > 0 {
		failures = append(failures, fmt.Errorf("unexpected argument %q: every setting is a flag, see make run ARGS=--help", flags.Arg(0)))
	}
	return s, errors.Join(append(failures, s.validate()...)...)
}

func variableOf(name string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// validate lists every setting that cannot be, and what to give instead.
func (s *settings) validate() []error {
	var failures []error
	refuse := func(wrong bool, format string, arguments ...any) {
		if wrong {
			failures = append(failures, fmt.Errorf(format, arguments...))
		}
	}
	refuse(math.IsNaN(s.speed) || s.speed <= 0 || s.speed > maxSpeed, "--speed=%v: use more than 0 and at most %d", s.speed, maxSpeed)
	refuse(s.replicas < 0 || s.replicas > maxReplicas, "--replicas=%d: use 0 to %d", s.replicas, maxReplicas)
	refuse(s.sidecarPort < 0 || s.sidecarPort > math.MaxUint16, "--sidecar-port=%d: use 0 to %d", s.sidecarPort, math.MaxUint16)
	if s.ceiling != "" {
		amount, err := fleet.ParseUSD(s.ceiling)
		refuse(err != nil || amount <= 0, "--ceiling=%q: give dollars per hour, such as 1.50", s.ceiling)
	}
	return append(failures, s.contradictions()...)
}

// contradictions lists settings that do not go together.
func (s *settings) contradictions() []error {
	var failures []error
	refuse := func(wrong bool, text string) {
		if wrong {
			failures = append(failures, errors.New(text))
		}
	}
	refuse(s.real && s.once, "--once proves the simulator's bill and would rent for nothing with --real: give one of them")
	refuse(s.real && len(s.faults) > 0, "--fault is for the simulator: give it without --real")
	refuse(s.keep && !s.once, "--keep belongs to --once; without it everything runs until Ctrl-C anyway")
	refuse(s.yes && !s.real, "--yes answers the question of --real: give both or none")
	refuse(s.once && s.replicas == 0, "--once needs at least one instance: give --replicas=2")
	return failures
}

// parseFault reads name=key=value,key=value.
func parseFault(text string) (simulator.FaultSpec, error) {
	name, rest, _ := strings.Cut(text, "=")
	fault := simulator.FaultSpec{Name: name, Params: map[string]string{}}
	if name == "" {
		return fault, fmt.Errorf("%q has no name: write name=key=value,key=value", text)
	}
	var known []string
	for _, kind := range simulator.FaultKinds() {
		known = append(known, kind.Name)
	}
	if !slices.Contains(known, name) {
		return fault, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(known, ", "))
	}
	if rest == "" {
		return fault, nil
	}
	for pair := range strings.SplitSeq(rest, ",") {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return fault, fmt.Errorf("%q in %q is no key=value", pair, text)
		}
		if err := setFaultKey(&fault, key, value); err != nil {
			return fault, fmt.Errorf("%q in %q: %w", pair, text, err)
		}
	}
	return fault, nil
}

// setFaultKey sets a field of the fault, or one of its own parameters.
func setFaultKey(fault *simulator.FaultSpec, key, value string) (err error) {
	match := &fault.Match
	switch key {
	case "count":
		fault.Count, err = strconv.Atoi(value)
	case "duration":
		fault.DurationSeconds, err = strconv.ParseFloat(value, 64)
	case "endpoint":
		match.Endpoint = simulator.Endpoint(value)
	case "method":
		match.Method = value
	case "label":
		match.LabelPrefix = value
		if fault.Name == simulator.FaultLabelChanged {
			match.LabelPrefix, fault.Params["label"] = "", value
		}
	case "rental":
		match.Rental, err = strconv.ParseInt(value, 10, 64)
	case "machine":
		match.Machine, err = strconv.ParseInt(value, 10, 64)
	case "offer":
		match.Offer, err = strconv.ParseInt(value, 10, 64)
	default:
		fault.Params[key] = value
	}
	return err
}

// writeUsage writes every flag with its variable, default and meaning.
func writeUsage(out io.Writer) error {
	var text strings.Builder
	text.WriteString("make run ARGS='FLAGS' starts an API server, a simulated Vast.ai, the operator and a pool, and shows what happens.\n\n")
	flagsOf(&settings{}).VisitAll(func(f *flag.Flag) {
		fmt.Fprintf(&text, "  --%s (%s, default %q)\n      %s\n", f.Name, variableOf(f.Name), f.DefValue, f.Usage)
	})
	_, err := io.WriteString(out, text.String())
	return err
}
