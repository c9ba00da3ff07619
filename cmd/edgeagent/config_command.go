// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/config"
)

func newConfigCommand(a *app) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "the node's configuration (local)",
		Example: `  edgeagent config check`,
	}
	cmd.PersistentFlags().StringVar(&path, "config", config.DefaultPath, "the file; config.d beside it is read too")
	cmd.AddCommand(
		&cobra.Command{
			Use:     "show",
			Short:   "the configuration with every default filled in",
			Example: `  edgeagent config show`,
			Args:    cobra.NoArgs,
			RunE:    func(*cobra.Command, []string) error { return showConfig(a, path) },
		},
		&cobra.Command{
			Use:   "check",
			Short: "everything that is wrong, each with file, line and remedy",
			Example: `  edgeagent config check
  edgeagent config check --config ./config.yaml -o json`,
			Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return checkConfig(a, path) },
		},
	)
	return cmd
}

func showConfig(a *app, path string) error {
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	body, err := c.YAML()
	if err != nil {
		return err
	}
	switch {
	case a.output == "json":
		if body, err = yaml.YAMLToJSON(body); err != nil {
			return fmt.Errorf("print as json: %v", err)
		}
		body = append(body, '\n')
	case isTerminal(a.stdout):
		body = []byte(escape(string(body)))
	}
	_, err = a.stdout.Write(body)
	return err
}

// configReport is the answer of config check.
type configReport struct {
	File     string          `json:"file"`
	Sources  int             `json:"sources"`
	Problems config.Problems `json:"problems"`
	Warnings config.Problems `json:"warnings"`
}

func checkConfig(a *app, path string) error {
	report, _, err := reportOn(path)
	if err != nil {
		return err
	}
	if err := present(a, report, page.configReport); err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return quietExit(exitError)
	}
	return nil
}

// reportOn reads the file and says what is wrong with it, and what is worth a
// look when nothing is.
func reportOn(path string) (configReport, config.Config, error) {
	c, err := config.Check(path)
	report := configReport{File: path, Sources: len(c.Sources), Problems: config.Problems{}, Warnings: config.Problems{}}
	if err != nil {
		if !errors.As(err, &report.Problems) {
			return report, c, err
		}
		return report, c, nil
	}
	report.Warnings = append(report.Warnings, c.Warnings()...)
	return report, c, nil
}

func (p page) configReport(w io.Writer, r configReport) error {
	for _, problem := range r.Problems {
		if _, err := fmt.Fprintln(w, p.paint(red, "error:")+" "+problem.String()); err != nil {
			return err
		}
	}
	for _, warning := range r.Warnings {
		if _, err := fmt.Fprintln(w, p.paint(yellow, "warning:")+" "+warning.String()); err != nil {
			return err
		}
	}
	if len(r.Problems) > 0 {
		_, err := fmt.Fprintf(w, "%s: %s\n", r.File, plural(len(r.Problems), "problem"))
		return err
	}
	_, err := fmt.Fprintf(w, "%s: good, %s\n", r.File, plural(r.Sources, "source"))
	return err
}
