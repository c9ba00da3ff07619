// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // Git's objects are named by it
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/crypto/ssh"
)

// signHistory replaces the linear history of main by one with the same trees,
// messages and dates in which every commit is signed: git itself would start
// ssh-keygen for each of thousands.
func signHistory(ctx context.Context, r *Repo, signer *Signer) error {
	key, err := signer.key()
	if err != nil {
		return err
	}
	const fields = 3 // a tree, a date, a subject
	log, err := git(ctx, r.Bare, "log", "--reverse", "--format=%T%n%ct%n%s", "main")
	if err != nil {
		return err
	}
	lines := strings.Split(log, "\n")
	pack := newPack(len(lines) / fields)
	parent := ""
	for n := 0; n+fields <= len(lines); n += fields {
		content, err := signedCommit(key, lines[n], parent, lines[n+1], lines[n+2])
		if err != nil {
			return err
		}
		if parent, err = pack.commit(content); err != nil {
			return err
		}
	}
	if err := r.receive(ctx, pack.end()); err != nil {
		return err
	}
	_, err = git(ctx, r.Bare, "update-ref", "refs/heads/main", parent)
	return err
}

// receive stores commits as if each had been pushed alone: Git looks for deltas
// between objects of one pack only once.
func (r *Repo) receive(ctx context.Context, pack []byte) error {
	cmd := exec.CommandContext(ctx, "git", "unpack-objects", "-q")
	cmd.Dir, cmd.Env, cmd.Stdin = r.Bare, environment(r.Bare), bytes.NewReader(pack)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("store the signed commits of %s: %w: %s", r.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

func (s *Signer) key() (ssh.Signer, error) {
	data, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the key of %s: %w", s.Principal, err)
	}
	key, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("parse the key of %s: %w", s.Principal, err)
	}
	return key, nil
}

func signedCommit(key ssh.Signer, tree, parent, date, subject string) ([]byte, error) {
	var header strings.Builder
	fmt.Fprintf(&header, "tree %s\n", tree)
	if parent != "" {
		fmt.Fprintf(&header, "parent %s\n", parent)
	}
	who := fmt.Sprintf("%s <%s> %s +0000", authorName, authorEmail, date)
	fmt.Fprintf(&header, "author %s\ncommitter %s\n", who, who)
	signature, err := sshSignature(key, header.String()+"\n"+subject+"\n")
	if err != nil {
		return nil, fmt.Errorf("sign a commit: %w", err)
	}
	signature = strings.ReplaceAll(strings.TrimSuffix(signature, "\n"), "\n", "\n ")
	return []byte(header.String() + "gpgsig " + signature + "\n\n" + subject + "\n"), nil
}

// sshSignature signs as `ssh-keygen -Y sign -n git` does (OpenSSH's
// PROTOCOL.sshsig).
func sshSignature(key ssh.Signer, message string) (string, error) {
	const magic, namespace, algorithm = "SSHSIG", "git", "sha512"
	digest := sha512.Sum512([]byte(message))
	signature, err := key.Sign(rand.Reader, []byte(magic+field(namespace)+field("")+field(algorithm)+field(string(digest[:]))))
	if err != nil {
		return "", err
	}
	blob := magic + "\x00\x00\x00\x01" + field(string(key.PublicKey().Marshal())) +
		field(namespace) + field("") + field(algorithm) + field(string(ssh.Marshal(signature)))
	text := base64.StdEncoding.EncodeToString([]byte(blob))
	var armor strings.Builder
	armor.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for len(text) > 0 {
		n := min(70, len(text))
		armor.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	armor.WriteString("-----END SSH SIGNATURE-----\n")
	return armor.String(), nil
}

// field is a string as SSH's formats have it.
func field(s string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s //nolint:gosec // a few hundred bytes
}

// pack is a pack of commits without deltas.
type pack struct {
	bytes.Buffer
	sum hash.Hash
	w   io.Writer
}

func newPack(objects int) *pack {
	p := &pack{sum: sha1.New()} //nolint:gosec // Git's packs end with it
	p.w = io.MultiWriter(&p.Buffer, p.sum)
	header := append([]byte("PACK"), 0, 0, 0, 2)
	p.w.Write(binary.BigEndian.AppendUint32(header, uint32(objects))) //nolint:errcheck,gosec // into memory; a few thousand
	return p
}

// commit adds a commit and returns its id.
func (p *pack) commit(content []byte) (string, error) {
	const commitType = 1
	size := len(content)
	head := []byte{byte(commitType<<4 | size&0x0f)}
	for size >>= 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	p.w.Write(head) //nolint:errcheck // into memory
	deflate := zlib.NewWriter(p.w)
	if _, err := deflate.Write(content); err != nil {
		return "", err
	}
	if err := deflate.Close(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "commit %d\x00", len(content)), content...))), nil //nolint:gosec // Git's objects are named by it
}

func (p *pack) end() []byte { return append(p.Bytes(), p.sum.Sum(nil)...) }
