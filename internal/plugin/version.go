package plugin

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// versionReport is the version of this program.
type versionReport struct {
	Version    string `json:"version"`
	APIVersion string `json:"apiVersion"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
}

func newVersion(o *options) *cobra.Command {
	command := &cobra.Command{
		Use:   "version",
		Short: "Print the version of kubectl warmpool",
		Long:  "version prints the version of this program, without a cluster. kubectl warmpool doctor compares it with that of the operator.",
		Args:  arguments(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			return o.print(&versionReport{Version: o.env.Version, APIVersion: apiVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH})
		},
	}
	o.addOutput(command, false)
	return command
}

// write implements report.
func (r *versionReport) write(out io.Writer, _ bool) error {
	_, err := fmt.Fprintf(out, "kubectl warmpool %s (%s, %s, %s)\n", r.Version, r.APIVersion, r.Go, r.Platform)
	return err
}
