// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// firstSync is 1000 ConfigMaps on an empty node, beside a bare server-side
// apply of the same objects by as many workers.
func (b *bench) firstSync() ([]row, error) {
	floor, err := b.rawApply()
	if err != nil {
		return nil, err
	}
	if b.first, err = b.push("a thousand", all(0)); err != nil {
		return nil, err
	}
	before := b.git.Traffic()
	begin := time.Now()
	if err := b.node.Start(b.ctx, "RUNTIME_DIRECTORY="+b.runtime); err != nil {
		return nil, err
	}
	if err := b.until(func() (bool, error) {
		st, err := b.node.Status(source)
		return err == nil && st.Ready() && st.Healthy.Revision.Hash() == b.first, err
	}); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	attempts, err := b.history()
	if err != nil {
		return nil, err
	}
	a := attempts[0]
	apply := a.Reached[gitops.PhaseApplied].Sub(a.Started)
	traffic := b.git.Traffic()
	return []row{
		{"first sync, 1000 objects: apply", seconds(apply), seconds(floor) + " raw apply, 4 workers", ratio(apply, floor), "≤ 1.5 with render"},
		{"first sync, start to ready", seconds(took), seconds(floor) + " raw apply, 4 workers", ratio(took, floor), ""},
		{"first sync, bytes from Git", kilobytes(traffic.BytesIn + traffic.BytesOut - before.BytesIn - before.BytesOut), "", "", ""},
	}, nil
}

// oneChanged is one line in one of 1000 files, beside git fetch of that commit.
func (b *bench) oneChanged() ([]row, error) {
	clone, err := b.gitClone()
	if err != nil {
		return nil, err
	}
	head, err := b.push("one of a thousand", map[string]string{"app/cm-0500.yaml": configMap(500, 2)})
	if err != nil {
		return nil, err
	}
	b.git.Forget()
	fetchTook, err := b.gitFetch(clone)
	if err != nil {
		return nil, err
	}
	fetch := b.git.Traffic()
	requests, err := b.requests()
	if err != nil {
		return nil, err
	}
	b.git.Forget()
	begin := time.Now()
	took, err := b.sync(head)
	if err != nil {
		return nil, err
	}
	ours := b.git.Traffic()
	after, err := b.requests()
	if err != nil {
		return nil, err
	}
	attempts, err := b.history()
	if err != nil {
		return nil, err
	}
	applied := attempts[0].Reached[gitops.PhaseApplied].Sub(begin)
	return []row{
		{"one of 1000 changed: sync to applied", seconds(applied), seconds(fetchTook) + " git fetch alone", ratio(applied, fetchTook), "≤ 0.3 s"},
		{"one of 1000 changed: sync to healthy", seconds(took), "", "", ""},
		{"one of 1000 changed: bytes from Git", fmt.Sprintf("%s in %d requests", kilobytes(ours.BytesIn+ours.BytesOut), ours.Requests), kilobytes(fetch.BytesIn+fetch.BytesOut) + " git fetch", ratio(ours.BytesIn+ours.BytesOut, fetch.BytesIn+fetch.BytesOut), "≤ 3 kB, 1 + 2 requests"},
		{"one of 1000 changed: API requests", fmt.Sprint(after - requests), "1 patch", "", ""},
	}, nil
}

// poll is a sync that finds nothing new, beside git ls-remote.
func (b *bench) poll() ([]row, error) {
	b.git.Forget()
	if err := b.gitLsRemote(); err != nil {
		return nil, err
	}
	floor := b.git.Traffic()
	requests, err := b.requests()
	if err != nil {
		return nil, err
	}
	b.git.Forget()
	if r := b.node.CLI("sync", source, "--wait"); r.Code != 0 {
		return nil, fmt.Errorf("sync: %s", r.Stderr)
	}
	ours, polls := b.git.Traffic(), len(b.git.Requests())
	after, err := b.requests()
	if err != nil {
		return nil, err
	}
	return []row{
		{"one poll, nothing new: bytes", kilobytes(ours.BytesIn+ours.BytesOut) + fmt.Sprintf(" in %d request", polls), kilobytes(floor.BytesIn+floor.BytesOut) + " git ls-remote", ratio(ours.BytesIn+ours.BytesOut, floor.BytesIn+floor.BytesOut), "≤ 0.7 kB"},
		{"one cycle at rest: API requests", fmt.Sprint(after - requests), "0", "", "0 besides watches"},
	}, nil
}

// drift is the time from a deletion by hand until the object is back, found
// without anybody asking.
func (b *bench) drift() ([]row, error) {
	begin := time.Now()
	patch := []byte(`{"data":{"version":"edited by hand"}}`)
	if _, err := b.kube.CoreV1().ConfigMaps(source).Patch(b.ctx, "cm-0007", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		return nil, err
	}
	edited := time.Since(begin)
	if err := b.until(func() (bool, error) {
		v, err := b.version(7)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return v == "1", err
	}); err != nil {
		return nil, err
	}
	return []row{{"drift repaired, interval 60 s", seconds(time.Since(begin)), seconds(edited) + " the edit itself", "", "≤ 0.5 s"}}, nil
}

// rollback goes offline to a revision in which 10 of 1000 objects differ.
func (b *bench) rollback() ([]row, error) {
	head, err := b.push("ten of a thousand", all(10))
	if err != nil {
		return nil, err
	}
	if _, err := b.sync(head); err != nil {
		return nil, err
	}
	b.git.Stop()
	begin := time.Now()
	if r := b.node.CLI("rollback", source, "--to", b.first.Short(), "--wait"); r.Code != 0 {
		return nil, fmt.Errorf("rollback: exit code %d: %s", r.Code, r.Stderr)
	}
	took := time.Since(begin)
	if v, err := b.version(3); err != nil || v != "1" {
		return nil, fmt.Errorf("after the rollback cm-0003 is at version %q (%v), want 1", v, err)
	}
	attempts, err := b.history()
	if err != nil {
		return nil, err
	}
	applied := attempts[0].Reached[gitops.PhaseApplied].Sub(attempts[0].Started)
	if err := b.git.Start(); err != nil {
		return nil, err
	}
	if r := b.node.CLI("resume", source); r.Code != 0 {
		return nil, fmt.Errorf("resume: %s", r.Stderr)
	}
	_, err = b.sync(head)
	return []row{
		{"offline rollback, 10 of 1000 differ: applied", seconds(applied), "", "", "≤ 0.3 s"},
		{"offline rollback, command to healthy", seconds(took), "", "", ""},
	}, err
}
