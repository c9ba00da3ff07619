// SPDX-License-Identifier: Apache-2.0

// Package gitsign owns signatures that were made without a key of one's own:
// gitsign asks an authority (Fulcio) for a certificate of ten minutes, signs,
// and has the signature entered in a public log (Rekor). What it leaves in a
// commit is a CMS structure, and in it the log's entry without its body.
//
// The body is never taken from anybody: it is made anew from the signature, the
// digest and the certificate that stand in the commit, so that an entry about
// anything else proves nothing. Certificates are judged at the time of the log,
// not of the node.
//
// It never uses the network and never looks for newer roots: whoever is to be
// believed stands in the file that ParseRoot reads. It judges an identity that
// it is given, and decides for nobody which one may sign.
package gitsign
