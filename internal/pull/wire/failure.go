// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func failed(reason gitops.Reason, remedy, format string, args ...any) *gitops.Error {
	return &gitops.Error{Reason: reason, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// printable makes text from a server fit for a terminal and a log line.
func printable(s string, most int) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))
	clean = strings.Join(strings.Fields(clean), " ")
	if r := []rune(clean); len(r) > most {
		return string(r[:most]) + "…"
	}
	return clean
}

// linkFailed gives an error of the network its reason. What a limit of ours
// cut off is told by the context's cause; a shutdown stays a shutdown.
func linkFailed(ctx context.Context, doing string, err error, now time.Time) error {
	if ctx.Err() != nil {
		if e, ok := errors.AsType[*gitops.Error](context.Cause(ctx)); ok {
			return failed(e.Reason, e.Remedy, "%s: %s", doing, e.Message)
		}
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			e := failed(gitops.Timeout, "raise timeout, or use a nearer mirror", "%s: the time for it is over", doing)
			e.Err = context.DeadlineExceeded
			return e
		}
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	if _, ok := errors.AsType[*gitops.Error](err); ok {
		return err
	}
	// The address is in the message already, without credentials.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if e := tlsFailed(doing, err, now); e != nil {
		return e
	}
	text := printable(err.Error(), 200)
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return failed(gitops.Unreachable, "check the name and the node's DNS", "%s: %s", doing, printable(dns.Error(), 200))
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return failed(gitops.Unreachable, "check the network and the address", "%s: %s", doing, text)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return failed(gitops.Timeout, "check the network and the server", "%s: %s", doing, text)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		text = "the connection was cut"
	}
	return failed(gitops.Unreachable, "check the network and the server", "%s: %s", doing, text)
}

func tlsFailed(doing string, err error, now time.Time) error {
	const rfc = time.RFC3339
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired && e.Cert != nil {
			return failed(gitops.TLS, "check the node's clock, then the server's certificate",
				"%s: the certificate is valid from %s to %s, this node's clock says %s", doing,
				e.Cert.NotBefore.UTC().Format(rfc), e.Cert.NotAfter.UTC().Format(rfc), now.UTC().Format(rfc))
		}
		return failed(gitops.TLS, "check the server's certificate", "%s: %s", doing, printable(e.Error(), 200))
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return failed(gitops.TLS, "put the CA that signed the server's certificate into caFile",
			"%s: %s", doing, printable(e.Error(), 200))
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return failed(gitops.TLS, "check the host in the URL", "%s: %s", doing, printable(e.Error(), 200))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return failed(gitops.TLS, "check the port; a captive portal answers like this too",
			"%s: the server does not speak TLS", doing)
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return failed(gitops.TLS, "check clientCertFile and the TLS versions of the server",
			"%s: the server refused the TLS connection: %s", doing, e.Error())
	}
	// A remote alert after the handshake comes as an OpError around a private type.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return failed(gitops.TLS, "check clientCertFile and the TLS versions of the server",
			"%s: the server refused the TLS connection: %s", doing, printable(op.Err.Error(), 200))
	}
	return nil
}
