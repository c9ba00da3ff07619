// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// story is the demo, one step after another.
func (d *demo) story() []func() error {
	return []func() error{
		d.converge, d.update, d.refuse, d.repair, d.rollBack, d.offline, d.release,
	}
}

func (d *demo) converge() error {
	title("1. The agent starts, verifies the signed repository, and converges")
	if err := d.node.Start(d.ctx); err != nil {
		return err
	}
	if err := d.until("the first revision to be healthy", func(st gitops.SourceStatus) bool { return st.Ready() && runs(st, d.one) }); err != nil {
		return err
	}
	if err := d.show("status"); err != nil {
		return err
	}
	return d.expectImage("web:1")
}

func (d *demo) update() (err error) {
	title("2. A signed commit arrives and is applied")
	if d.two, err = d.change("web:1", "web:2", "web 2", d.signer); err != nil {
		return err
	}
	if err := d.until("the second revision to be healthy", func(st gitops.SourceStatus) bool { return st.Ready() && runs(st, d.two) }); err != nil {
		return err
	}
	if err := d.show("show", source); err != nil {
		return err
	}
	return d.expectImage("web:2")
}

func (d *demo) refuse() error {
	title("3. An unsigned commit is refused, and the cluster stays")
	bad, err := d.change("web:2", "web:666", "nobody signed this", nil)
	if err != nil {
		return err
	}
	if err := d.until("the refusal", func(st gitops.SourceStatus) bool {
		return st.Refused != nil && st.Refused.Revision.Hash() == bad && st.Refused.Reason == gitops.Unsigned && runs(st, d.two)
	}); err != nil {
		return err
	}
	if err := d.showCode(1, "verify", source); err != nil {
		return err
	}
	if err := d.show("status"); err != nil {
		return err
	}
	if err := d.expectImage("web:2"); err != nil {
		return err
	}
	fmt.Println("\nThe commit is taken back, as a person would:")
	return d.takeBack()
}

func (d *demo) repair() error {
	title("4. Somebody edits and deletes objects by hand, and they come back")
	if err := d.meddle(); err != nil {
		return err
	}
	if err := d.until("the repair", func(st gitops.SourceStatus) bool { return st.Drift.Corrected >= 2 && d.repaired() }); err != nil {
		return err
	}
	return d.show("status", source)
}

func (d *demo) rollBack() error {
	title("5. A broken image is pushed, health fails, and the agent rolls back by itself")
	bad, err := d.change("web:2", "broken:3", "this image crashes", d.signer)
	if err != nil {
		return err
	}
	if err := d.until("the rollback", func(st gitops.SourceStatus) bool {
		return st.Failed != nil && st.Failed.Revision.Hash() == bad && runs(st, d.two) && st.Phase == gitops.StageWaiting
	}); err != nil {
		return err
	}
	if err := d.show("status"); err != nil {
		return err
	}
	if err := d.show("history", source); err != nil {
		return err
	}
	return d.expectImage("web:2")
}

func (d *demo) offline() (err error) {
	if d.three, err = d.change("broken:3", "web:3", "web 3", d.signer); err != nil {
		return err
	}
	if err := d.until("the third revision to be healthy", func(st gitops.SourceStatus) bool { return st.Ready() && runs(st, d.three) }); err != nil {
		return err
	}
	title("6. The Git server is gone, and a person goes two revisions back, offline")
	d.git.Stop()
	if err := d.show("rollback", source, "--to", d.one.Short(), "--wait"); err != nil {
		return err
	}
	if err := d.until("the hold", func(st gitops.SourceStatus) bool { return st.Hold != nil && runs(st, d.one) }); err != nil {
		return err
	}
	if err := d.show("status"); err != nil {
		return err
	}
	return d.expectImage("web:1")
}

func (d *demo) release() error {
	title("7. The Git server returns, and a newer commit releases the hold")
	four, err := d.change("web:3", "web:4", "web 4", d.signer)
	if err != nil {
		return err
	}
	if err := d.git.Start(); err != nil {
		return err
	}
	if err := d.show("sync", source, "--wait"); err != nil {
		return err
	}
	if err := d.until("the fourth revision to be healthy", func(st gitops.SourceStatus) bool {
		return st.Ready() && st.Hold == nil && runs(st, four)
	}); err != nil {
		return err
	}
	if err := d.show("status"); err != nil {
		return err
	}
	return d.expectImage("web:4")
}

func runs(st gitops.SourceStatus, hash gitops.Hash) bool {
	return st.Applied != nil && st.Applied.Revision.Hash() == hash && st.Healthy != nil && st.Healthy.Revision.Hash() == hash
}

func title(text string) {
	fmt.Printf("\n%s\n%s\n", text, strings.Repeat("=", len(text)))
}
