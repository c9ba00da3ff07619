// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// annotation of a pod that overrides what its images say.
const annotation = "edgeagent.dev/test"

type behaviour int

const (
	healthy behaviour = iota
	broken
	missing
	slow
	flaky
)

// behaviourOf reads how a container of pod is to behave, and after how long it
// changes its mind.
func behaviourOf(pod *corev1.Pod, image string) (behaviour, time.Duration) {
	word := pod.Annotations[annotation]
	if word == "" {
		word = imageName(image)
	}
	switch {
	case strings.HasPrefix(word, "broken"):
		return broken, 0
	case strings.HasPrefix(word, "missing"):
		return missing, 0
	}
	for prefix, b := range map[string]behaviour{"slow-": slow, "flaky-": flaky} {
		if digits, found := strings.CutPrefix(word, prefix); found {
			if seconds, err := strconv.Atoi(digits); err == nil && seconds >= 0 {
				return b, time.Duration(seconds) * time.Second
			}
		}
	}
	return healthy, 0
}

// imageName is the last part of an image's path, without tag and digest.
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndexByte(image, '/')+1:]
	name, _, _ := strings.Cut(image, ":")
	return name
}
