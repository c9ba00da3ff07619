// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"os/exec"
	"syscall"
)

// Result is what a command printed and how it ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// CLI runs the command line against the node's socket.
func (n *Node) CLI(args ...string) Result { return n.CLIAs(nil, args...) }

// CLIAs does so as another user.
func (n *Node) CLIAs(as *syscall.Credential, args ...string) Result {
	return Run(as, n.Binary, append([]string{"--socket", n.Socket()}, args...)...)
}

// Run runs a program to its end, as another user unless as is nil.
func Run(as *syscall.Credential, program string, args ...string) Result {
	var out, errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &errs, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return Result{Stderr: err.Error(), Code: -1}
	}
	return Result{Stdout: out.String(), Stderr: errs.String(), Code: cmd.ProcessState.ExitCode()}
}
