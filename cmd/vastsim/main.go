// Command vastsim runs a simulated Vast.ai with ComfyUI instances behind its
// rentals, for tests, demonstrations and the real Vast command line. Every
// flag has an environment variable: --admin-listen is VASTSIM_ADMIN_LISTEN.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "vastsim: %v\n", err)
		os.Exit(1)
	}
}

// ready is the one line that is printed when both servers answer.
type ready struct {
	URL      string `json:"url"`
	AdminURL string `json:"adminURL"`
	PID      int    `json:"pid"`
}

// run serves until the context ends.
func run(ctx context.Context, args []string, lookup func(string) (string, bool), out io.Writer) error {
	if version.IsAsked(args) {
		return version.Print(out, "vastsim")
	}
	opts, err := parse(args, lookup, out)
	if err != nil {
		return err
	}
	server, err := simulator.Start(ctx, opts.config)
	if err != nil {
		return fmt.Errorf("starting the simulator: %w", err)
	}
	line := fmt.Sprintf("vastsim ready api=%s admin=%s\n", server.URL(), server.AdminURL())
	if opts.json {
		encoded, err := json.Marshal(ready{URL: server.URL(), AdminURL: server.AdminURL(), PID: os.Getpid()})
		if err != nil {
			return fmt.Errorf("encoding the ready line: %w", err)
		}
		line = string(encoded) + "\n"
	}
	if _, err := io.WriteString(out, line); err != nil {
		return fmt.Errorf("printing the ready line: %w", err)
	}
	<-ctx.Done()
	if err := server.Close(); err != nil {
		return fmt.Errorf("stopping the simulator: %w", err)
	}
	return nil
}

// options is what the flags say.
type options struct {
	config simulator.Config
	json   bool
}

// parse reads flags, and the environment for those that are not given.
func parse(args []string, lookup func(string) (string, bool), out io.Writer) (options, error) {
	var (
		opts       options
		keys       string
		credit     float64
		body       string
		noLimits   bool
		lives      float64
		pair       [2]string
		comfy      = true
		c          = &opts.config
		flags      = flag.NewFlagSet("vastsim", flag.ContinueOnError)
		microsInUS = 1_000_000.0
	)
	flags.SetOutput(out)
	flags.StringVar(&c.Listen, "listen", "127.0.0.1:0", "address of the API")
	flags.StringVar(&c.AdminListen, "admin-listen", "127.0.0.1:0", "address of the admin API; it has no key, so keep it on loopback")
	flags.Uint64Var(&c.Seed, "seed", 1, "seed of every draw")
	flags.Float64Var(&c.Speed, "speed", 1, "simulated seconds per second")
	flags.StringVar(&keys, "key", "sim-key", "API keys of the account, divided by commas")
	flags.Float64Var(&credit, "credit", 100, "balance at the start in dollars; negative is none")
	flags.Int64Var(&c.UserID, "user-id", 7001, "number of the account")
	flags.IntVar(&c.Market.Limit, "offers-limit", 0, "keep only the cheapest verified offers of as many machines; 0 keeps all")
	flags.IntVar(&c.Market.Replicas, "replicas", 1, "multiply the recorded machines")
	flags.BoolVar(&c.Market.Frozen, "frozen-market", false, "no drift of prices and offers")
	flags.BoolVar(&noLimits, "no-rate-limits", false, "turn the documented rate limits off")
	flags.StringVar(&body, "rate-limit-body", string(simulator.RateLimitText), "form of a 429: text, detail, msg or error")
	flags.BoolVar(&c.EmptyV0List, "empty-v0-list", false, "answer the retired list with 200 and nothing instead of 410")
	flags.IntVar(&c.UnauthorizedStatus, "unauthorized-status", 404, "HTTP status for a wrong key: 404 or 401")
	flags.BoolVar(&comfy, "comfyui", true, "run a simulated ComfyUI behind every rental")
	flags.StringVar(&pair[0], "tls-cert", "", "certificate in PEM; with it the API speaks HTTPS")
	flags.StringVar(&pair[1], "tls-key", "", "key of the certificate")
	flags.StringVar(&c.InstanceAddress, "instance-address", "127.0.0.1", "address of the published ports of rentals; another one has to be of a network that leads nowhere else")
	flags.Float64Var(&lives, "lives-speed", 1, "how many times faster than on Vast.ai the steps of a life pass (pull, boot, models); time itself keeps its speed")
	flags.BoolVar(&opts.json, "json", false, "print the ready line as JSON")
	if err := flags.Parse(args); err != nil {
		return opts, fmt.Errorf("reading the flags: %w", err)
	}
	if err := fromEnvironment(flags, lookup); err != nil {
		return opts, err
	}
	if flags.NArg() > 0 {
		return opts, fmt.Errorf("reading the flags: unexpected argument %q", flags.Arg(0))
	}
	c.Keys = strings.Split(keys, ",")
	if c.CreditMicros = int64(credit * microsInUS); c.CreditMicros == 0 {
		c.CreditMicros = -1 // Config takes 0 for its default
	}
	if err := secure(c, pair); err != nil {
		return opts, err
	}
	if err := hasten(c, lives); err != nil {
		return opts, err
	}
	c.RateLimits.Disabled = noLimits
	c.RateLimits.Body = simulator.RateLimitBody(body)
	if !comfy {
		c.Backend = simulator.NoBackend()
	}
	return opts, nil
}

// fromEnvironment sets the flags that were not given from VASTSIM_<FLAG>.
func fromEnvironment(flags *flag.FlagSet, lookup func(string) (string, bool)) error {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	flags.VisitAll(func(f *flag.Flag) {
		name := "VASTSIM_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := lookup(name)
		if !ok || given[f.Name] || err != nil {
			return
		}
		if setErr := f.Value.Set(value); setErr != nil {
			err = fmt.Errorf("reading %s: %w", name, setErr)
		}
	})
	return err
}
