// SPDX-License-Identifier: Apache-2.0

package e2e_test

import "testing"

// cases are the specification: each name is a promise, kept on a real API
// server and with a real Git server.
var cases = []struct {
	name string
	run  func(*scene)
}{
	{"first_sync", firstSync},
	{"one_object_changed_writes_one_object", oneObjectChanged},
	{"object_removed_is_pruned", objectRemoved},
	{"prune_guard_stops_mass_delete", pruneGuard},
	{"empty_render_is_refused", emptyRender},
	{"commit_for_another_node_moves_accepted_without_a_write", commitForAnotherNode},
	{"per_node_path_and_labels", perNodePathAndLabels},
	{"two_sources_do_not_mix", twoSources},
	{"source_removed_from_config_orphans_by_default", sourceRemoved},

	{"unsigned_head_is_refused_and_cluster_stays", unsignedHead},
	{"unsigned_commit_inside_a_merge_is_refused", unsignedInsideMerge},
	{"unknown_signer_is_refused", unknownSigner},
	{"force_push_back_is_refused", forcePushBack},
	{"broken_revocation_file_lets_nothing_through", brokenRevocations},
	{"tag_mode_needs_signed_tag", tagMode},
	{"unapproved_rbac_is_refused_and_applied_once_approved", unapprovedRBAC},
	{"key_revoked_while_running_is_distrusted_and_cluster_stays", revokedWhileRunning},
	{"trust_file_changes_with_its_roots_only", rotatedTrustFile},
	{"branch_shown_as_another_is_refused", teleportedBranch},
	{"gitsign_by_a_developer_is_applied_and_by_anybody_else_refused", gitsignedHead},

	{"deleted_object_comes_back", deletedObject},
	{"edited_field_comes_back", editedField},
	{"foreign_field_is_left_alone", foreignField},
	{"notify_mode_reports_and_does_not_touch", notifyMode},

	{"crd_then_custom_resource_in_one_commit", crdThenCustomResource},
	{"namespace_order", namespaceOrder},
	{"helm_chart_with_subchart_and_hooks", helmChart},
	{"rejected_object_fails_revision_before_any_write", rejectedObject},
	{"late_failure_fails_revision_but_independent_objects_apply", lateFailure},
	{"completed_job_is_not_run_again", completedJob},
	{"foreign_owner_is_not_taken_over", foreignOwner},
	{"second_agent_on_one_cluster_is_ForeignWriter", secondAgent},

	{"broken_image_rolls_back_by_itself", brokenImage},
	{"failed_revision_is_not_retried_until_git_moves", failedRevision},
	{"crash_while_waiting_for_health_still_rolls_back", crashWhileWaiting},
	{"newer_commit_cancels_health_wait", newerCommitCancels},
	{"revision_that_was_unhealthy_before_does_not_block", unhealthyBefore},
	{"hold_released_by_newer_commit", holdReleased},
	{"pull_error_never_undoes_a_running_update", pullErrorDuringUpdate},
	{"git_server_down_for_many_cycles_then_back", gitServerDown},
	{"kill_9_in_every_phase_then_converges_without_orphans", killInEveryPhase},

	{"bundle_in_the_folder_is_taken_or_noted", dropFolder},
	{"budget_spent_makes_updates_wait_and_sync_overrides", budgetSpent},
	{"static_mirror_serves_while_the_git_server_is_down", staticMirror},

	{"renamed_node_applies_nothing_until_accepted", renamedNode},
	{"second_daemon_is_refused", secondDaemon},
	{"socket_write_needs_root", socketWriteNeedsRoot},
	{"readme_commands_work", readmeCommandsWork},
}

func TestAgent(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(newScene(t, sharedCluster(t)))
		})
	}
}

// ownCluster cases end, wipe or cut off their cluster, so each has its own.
var ownClusterCases = []struct {
	name string
	run  func(*scene)
}{
	{"api_server_down_then_back", apiServerDown},
	{"k3s_kubeconfig_rotated_while_running", kubeconfigRotated},
}

func TestAgentWithItsOwnCluster(t *testing.T) {
	for _, c := range ownClusterCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(newScene(t, embeddedCluster(t)))
		})
	}
}

// offlineCases run in a network namespace that holds the API server, and the
// Git server for as long as the case wants it, with objects.db moved away.
var offlineCases = []struct {
	name string
	run  func(*scene)
}{
	{"rollback_offline_two_back_sets_hold", rollbackOffline},
	{"agent_restart_with_no_network_repairs_drift", restartOffline},
	{"datastore_wiped_offline_is_rebuilt_from_the_journal", datastoreWiped},
	{"bundle_on_a_stick_reaches_a_node_without_network", bundleOnAStick},
}

func TestAgentOffline(t *testing.T) {
	if !inNamespace {
		runInNamespace(t, "^TestAgentOffline$")
		return
	}
	for _, c := range offlineCases {
		t.Run(c.name, func(t *testing.T) { c.run(newScene(t, embeddedCluster(t))) })
	}
}
