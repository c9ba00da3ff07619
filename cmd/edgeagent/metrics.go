// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newMetricsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "metrics",
		Short: "the status in numbers, for Prometheus",
		Long: `Print the metrics in Prometheus' text format. They are at /v1/metrics on the
socket too. For node_exporter, a timer can write them into the folder of its
textfile collector.`,
		Example: `  edgeagent metrics > /var/lib/node_exporter/edgeagent.prom`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.output != "text" {
				return usageError("metrics have one form, Prometheus' text; for JSON, ask for the status: edgeagent status -o json")
			}
			text, err := a.client().Metrics(cmd.Context())
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
}
