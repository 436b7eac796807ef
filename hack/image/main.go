package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// settings is what the flags say.
type settings struct {
	// binaries has a directory "linux-<architecture>" for each platform, with the programs.
	binaries string
	// licenses is what hack/licenses -texts wrote; empty for none.
	licenses string
	// out is the directory to write into.
	out string
	// name is the repository, such as "ghcr.io/warmpool-dev/warmpool"; version the tag.
	name, version string
	// commit is the full hash of the source.
	commit string
	// entrypoint is the program that runs when nobody names another.
	entrypoint string
	// created is the time of the source, which every file gets.
	created time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	var chosen settings
	var seconds int64
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&chosen.binaries, "binaries", "", "directory with linux-amd64/ and linux-arm64/, or one of them, that hold the programs")
	flags.StringVar(&chosen.licenses, "licenses", "", "directory that hack/licenses -texts wrote; without it there are no licences and no list of packages")
	flags.StringVar(&chosen.out, "out", "", "directory to write into")
	flags.StringVar(&chosen.name, "name", "", "repository of the image")
	flags.StringVar(&chosen.version, "version", "", "tag of the image")
	flags.StringVar(&chosen.commit, "commit", "unknown", "hash of the source")
	flags.StringVar(&chosen.entrypoint, "entrypoint", "", "name of the program that runs when nobody names another")
	flags.Int64Var(&seconds, "created", 0, "time of the source in seconds since 1970, as SOURCE_DATE_EPOCH")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"binaries": chosen.binaries, "out": chosen.out, "name": chosen.name, "version": chosen.version, "entrypoint": chosen.entrypoint,
	} {
		if value == "" {
			return fmt.Errorf("--%s is missing; see --help", name)
		}
	}
	chosen.created = time.Unix(seconds, 0).UTC()
	return chosen.build(ctx)
}

// base starts the names of the files that are written.
func (s *settings) base() string {
	return s.name[strings.LastIndex(s.name, "/")+1:]
}
