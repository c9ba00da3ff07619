// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var (
	released  = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+)(?:-((?:alpha|beta|rc)[0-9A-Za-z.]*))?(?:-([0-9]+)-g([0-9a-f]+))?$`)
	untagged  = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	dirtyMark = "-dirty"
)

// debianVersion turns what git describe says into a version that dpkg orders
// as one would expect: a release candidate before its release, commits after a
// tag behind it, and everything untagged before the first release, by date.
func debianVersion(described string, commit time.Time) (string, error) {
	clean, dirty := strings.CutSuffix(described, dirtyMark)
	var version string
	if match := released.FindStringSubmatch(clean); match != nil {
		version = match[1]
		if match[2] != "" {
			version += "~" + match[2]
		}
		if match[3] != "" {
			version += "+" + match[3] + ".g" + match[4]
		}
	} else if untagged.MatchString(clean) {
		version = fmt.Sprintf("0.0.0~%s.g%s", commit.UTC().Format("20060102150405"), clean)
	} else {
		return "", fmt.Errorf("version %q is neither a tag like v1.2.3 nor a commit; give VERSION=v1.2.3", described)
	}
	if dirty {
		version += "+dirty"
	}
	return version, nil
}
