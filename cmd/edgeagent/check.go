// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/pull"
)

// probeTimeout bounds each look at something outside this process.
const probeTimeout = 15 * time.Second

// The results of a look.
const (
	lookGood    = "good"
	lookWarning = "warning"
	lookFailed  = "failed"
)

// finding is one line of the doctor's answer.
type finding struct {
	Check   string `json:"check"`
	Result  string `json:"result"` // good, warning, failed
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// probes is how the doctor looks at the world.
type probes struct {
	clock   func() finding
	disk    func(dir string) finding
	keys    func(config.Source) error
	cluster func(context.Context, config.Config) (version string, err error)
	git     func(context.Context, config.Config, config.Source) ([]pull.Probed, error)
	daemon  func(context.Context) (version string, err error)
}

func newCheckCommand(a *app) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "look for everything that could be wrong on this node (local)",
		Long: `Look at the configuration, the keys, the clock, the disk, k3s, Git and the daemon,
and print one line for each, with what to do about it. Nothing is changed. The
exit code is 1 when something fails.`,
		Example: `  edgeagent check
  edgeagent check --config ./config.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := diagnose(cmd.Context(), path, newProbes(a))
			if err := present(a, findings, page.findings); err != nil {
				return err
			}
			for _, f := range findings {
				if f.Result == lookFailed {
					return quietExit(exitError)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", config.DefaultPath, "the file; config.d beside it is read too")
	return cmd
}

// diagnose goes on after a failure: a person wants to see all of them.
func diagnose(ctx context.Context, path string, p probes) []finding {
	findings, c := diagnoseConfig(path)
	findings = append(findings, p.clock(), p.disk(c.StateDir))
	findings = append(findings, looked(ctx, "daemon", lookWarning, "it is running, version ", func(ctx context.Context) (string, error) {
		return p.daemon(ctx)
	}))
	findings = append(findings, looked(ctx, "cluster", lookFailed, "it answers, version ", func(ctx context.Context) (string, error) {
		return p.cluster(ctx, c)
	}))
	for _, s := range c.Sources {
		findings = append(findings, looked(ctx, "keys of "+s.Name, lookFailed, "", func(context.Context) (string, error) {
			return "they can be read", p.keys(s)
		}))
		places, err := p.git(ctx, c, s)
		findings = append(findings, diagnoseGit(s.Name, places, err)...)
	}
	return findings
}

// diagnoseGit is a line for the URL and one for each mirror. One of them is
// enough: that others do not answer is then a warning.
func diagnoseGit(source string, places []pull.Probed, err error) []finding {
	if err != nil {
		what, remedy := inParts(err)
		return []finding{{"git of " + source, lookFailed, what, remedy}}
	}
	bad := lookFailed
	if slices.ContainsFunc(places, func(p pull.Probed) bool { return p.Err == nil }) {
		bad = lookWarning
	}
	var findings []finding
	for _, p := range places {
		check := "git of " + source
		if p.Mirror {
			check = "mirror of " + source
		}
		if p.Err != nil {
			what, remedy := inParts(p.Err)
			findings = append(findings, finding{check, bad, what, remedy})
			continue
		}
		found := p.URL + " answers"
		if p.Tip != "" {
			found = p.URL + " names " + p.Tip.Short()
		}
		findings = append(findings, finding{check, lookGood, found + " (" + p.Client + ")", ""})
	}
	return findings
}

// diagnoseConfig checks the file, and returns what could be read of it.
func diagnoseConfig(path string) ([]finding, config.Config) {
	report, c, err := reportOn(path)
	if err != nil {
		return []finding{{"configuration", lookFailed, err.Error(), ""}}, c
	}
	var findings []finding
	for _, problem := range report.Problems {
		remedy := problem.Remedy
		problem.Remedy = ""
		findings = append(findings, finding{"configuration", lookFailed, problem.String(), remedy})
	}
	for _, w := range report.Warnings {
		remedy := w.Remedy
		w.Remedy = ""
		findings = append(findings, finding{"configuration", lookWarning, w.String(), remedy})
	}
	if len(report.Problems) == 0 {
		findings = append(findings, finding{"configuration", lookGood, path + " is in order, " + plural(report.Sources, "source"), ""})
	}
	return findings, c
}

// looked turns the outcome of a probe into a line.
func looked(ctx context.Context, check, otherwise, prefix string, probe func(context.Context) (string, error)) finding {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	message, err := probe(ctx)
	if err != nil {
		what, remedy := inParts(err)
		return finding{check, otherwise, what, remedy}
	}
	return finding{check, lookGood, prefix + message, ""}
}

func (p page) findings(w io.Writer, findings []finding) error {
	for _, f := range findings {
		mark := map[string]string{lookGood: p.paint(green, "✓"), lookWarning: p.paint(yellow, "!"), lookFailed: p.paint(red, "✗")}[f.Result]
		line := fmt.Sprintf("%s %s: %s", mark, f.Check, oneLine(f.Message))
		if f.Remedy != "" {
			line += "; " + oneLine(f.Remedy)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
