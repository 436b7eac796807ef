package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/warmpool-dev/warmpool/internal/testkit" //nolint:depguard // this program starts a control plane and ships with nothing
)

// defaultSpeed brings everything about in about three minutes.
const defaultSpeed = 4

func main() {
	var plane *testkit.ControlPlane
	program := &program{plane: &plane}
	if err := program.parse(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "situations:", err)
		os.Exit(2)
	}
	os.Exit(testkit.Main(program, &plane))
}

// program is one run; testkit.Main starts the control plane around it.
type program struct {
	// plane is set before Run is called.
	plane **testkit.ControlPlane
	// out is the page to write, only the situations to bring about.
	out  string
	only []string
	// objects is a directory for the objects of each situation; empty writes none.
	objects string
	// plugin is kubectl warmpool.
	plugin string
	// speed is how many seconds of the operator pass in one of the wall.
	speed int64
	// verbose prints the operator's log.
	verbose bool
}

// parse reads the flags.
func (p *program) parse(arguments []string) error {
	flags := flag.NewFlagSet("situations", flag.ContinueOnError)
	flags.StringVar(&p.out, "out", filepath.Join("docs", "reference", "situations.md"), "page to write; - prints it")
	flags.StringVar(&p.objects, "objects", "", "directory for the objects of each situation as YAML, from which the tests of kubectl warmpool are made; by default none is written")
	flags.StringVar(&p.plugin, "plugin", filepath.Join("bin", "kubectl-warmpool"), "the program kubectl warmpool")
	flags.Int64Var(&p.speed, "speed", defaultSpeed, "seconds of the operator and of Vast.ai in one second; above 1 ages are shorter than the times in the page say")
	flags.BoolVar(&p.verbose, "verbose", false, "print the operator's log")
	only := flags.String("only", "", "comma-separated names of the situations to bring about; by default all")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *only != "" {
		p.only = strings.Split(*only, ",")
	}
	return nil
}

// Run implements testkit.Runner.
func (p *program) Run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.write(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "situations:", err)
		return 1
	}
	return 0
}

// write brings all situations about at the same time and writes the page.
func (p *program) write(ctx context.Context) error {
	chosen := slices.DeleteFunc(situations(), func(s situation) bool { return len(p.only) > 0 && !slices.Contains(p.only, s.name) })
	if len(chosen) == 0 {
		return fmt.Errorf("none of the situations is named %s", strings.Join(p.only, ", "))
	}
	stage, err := newStage(ctx, *p.plane, p.speed)
	if err != nil {
		return err
	}
	stage.plugin, stage.objects = p.plugin, p.objects
	defer stage.close()
	stop := stage.startOperator(ctx, p.verbose)
	defer stop()
	shown := make([]string, len(chosen))
	group, groupCtx := errgroup.WithContext(ctx)
	for k := range chosen {
		group.Go(func() (err error) {
			shown[k], err = stage.bringAbout(groupCtx, &chosen[k])
			return err
		})
	}
	if err = group.Wait(); err != nil {
		return err
	}
	page := pageOf(chosen, shown, p.speed)
	if p.out == "-" {
		_, err = os.Stdout.WriteString(page)
		return err
	}
	return os.WriteFile(p.out, []byte(page), 0o644) //nolint:gosec // a page of the documentation is for everybody
}
