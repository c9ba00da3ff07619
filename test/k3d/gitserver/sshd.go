// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/test/k3d/loopback"
)

// sshdPath is where every Linux has it: it wants to be started by its full path.
const sshdPath = "/usr/sbin/sshd"

// SSHConfig says what to serve over SSH.
type SSHConfig struct {
	Dir string // for keys and configuration
	// Protocol2 passes GIT_PROTOCOL on. Without, as in OpenSSH's own default,
	// git speaks protocol v0.
	Protocol2 bool
}

// SSHServer is a real OpenSSH server whose user may run git on this machine.
type SSHServer struct {
	KeyFile    string // of the client
	KnownHosts string // file with the host's key
	address    string
	user       string
	process    *exec.Cmd
}

// StartSSH starts one on a free port of loopback.
func StartSSH(ctx context.Context, config SSHConfig) (*SSHServer, error) {
	me, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("find the user: %w", err)
	}
	port, err := loopback.FreePort()
	if err != nil {
		return nil, err
	}
	s := &SSHServer{
		KeyFile: filepath.Join(config.Dir, "client"), KnownHosts: filepath.Join(config.Dir, "known_hosts"),
		address: fmt.Sprintf("127.0.0.1:%d", port), user: me.Username,
	}
	if err := s.writeKeys(ctx, config.Dir, port); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`ListenAddress 127.0.0.1
Port %d
HostKey %[2]s/host
AuthorizedKeysFile %[2]s/client.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
`, port, config.Dir)
	if config.Protocol2 {
		text += "AcceptEnv GIT_PROTOCOL\n"
	}
	file := filepath.Join(config.Dir, "sshd_config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of sshd: %w", err)
	}
	return s, s.start(ctx, file)
}

func (s *SSHServer) writeKeys(ctx context.Context, dir string, port int) error {
	for _, name := range []string{"host", "client"} {
		if _, err := run(ctx, dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	public, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		return fmt.Errorf("read the host's key: %w", err)
	}
	line := fmt.Sprintf("[127.0.0.1]:%d %s\n", port, strings.TrimSpace(string(public)))
	if err := os.WriteFile(s.KnownHosts, []byte(line), 0o600); err != nil {
		return fmt.Errorf("write the known hosts: %w", err)
	}
	return nil
}

func (s *SSHServer) start(ctx context.Context, config string) error {
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // or sshd refuses to start
			return fmt.Errorf("make the directory of sshd: %w", err)
		}
	}
	var log bytes.Buffer
	s.process = exec.Command(sshdPath, "-D", "-e", "-f", config)
	s.process.Stderr = &log
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start sshd, of the package openssh-server: %w", err)
	}
	for range 500 {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close() //nolint:errcheck // it was only a knock
			return nil
		}
		select {
		case <-ctx.Done():
			s.Stop()
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.Stop()
	return fmt.Errorf("start sshd on %s: it does not answer: %s", s.address, bytes.TrimSpace(log.Bytes()))
}

// URL is the address of a repository.
func (s *SSHServer) URL(repo *Repo) string {
	return "ssh://" + s.user + "@" + s.address + repo.Bare
}

// Address is host:port.
func (s *SSHServer) Address() string { return s.address }

// Stop ends the server.
func (s *SSHServer) Stop() {
	s.process.Process.Kill() //nolint:errcheck // it may be over
	s.process.Wait()         //nolint:errcheck // it was killed
}
