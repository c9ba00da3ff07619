// SPDX-License-Identifier: Apache-2.0

// Package netns runs a test program in a network namespace that holds a
// loopback interface and nothing else: no address of the host, no route, no
// DNS. The program must call Enter first. Never part of the product.
package netns

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const insideVariable = "EDGEAGENT_TEST_NETNS"

// Isolate makes cmd start in an empty network namespace. Root needs nothing
// else; anybody else also gets a user namespace, where the kernel allows it.
func Isolate(cmd *exec.Cmd) {
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, insideVariable+"=1")
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	if os.Geteuid() == 0 {
		return
	}
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
}

// Enter turns the loopback interface on when this process was started through
// Isolate, and reports whether it was. In any other process it does nothing.
func Enter() (bool, error) {
	if os.Getenv(insideVariable) == "" {
		return false, nil
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true, fmt.Errorf("open a socket to turn the loopback interface on: %w", err)
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return true, fmt.Errorf("name the loopback interface: %w", err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return true, fmt.Errorf("turn the loopback interface on: %w", err)
	}
	return true, nil
}
