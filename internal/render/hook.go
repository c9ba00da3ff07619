// SPDX-License-Identifier: Apache-2.0

package render

import (
	"slices"
	"strconv"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// hook is what an object says about when it runs. Install and upgrade are one
// event here: every revision is both.
type hook struct {
	gitops.Hook
	before bool // before the bundle's other objects, else after them
	weight int
}

// helmEvents are the events that are rendered. The others (deletion, rollback,
// tests) have no counterpart and their objects are left out, as Helm itself
// leaves them out of an installation.
var helmEvents = []string{"pre-install", "pre-upgrade", "post-install", "post-upgrade"}

var argoEvents = map[string][]string{
	"PreSync":  {"pre-install", "pre-upgrade"},
	"PostSync": {"post-install", "post-upgrade"},
}

var argoPolicies = map[string]string{
	"HookSucceeded": "hook-succeeded", "HookFailed": "hook-failed", "BeforeHookCreation": "before-hook-creation",
}

// readHook reads the object's hook annotations, Helm's only in charts. It
// reports whether the object is rendered at all.
func (o *object) readHook(chart bool) (bool, error) {
	if value, ok := o.annotations[helmHookAnnotation]; ok && chart {
		return o.readHelmHook(value)
	}
	value, ok := o.annotations[argoHookAnnotation]
	if !ok {
		return true, nil
	}
	var events []string
	for _, phase := range words(value) {
		if phase == "Sync" {
			return true, nil
		}
		events = append(events, argoEvents[phase]...)
	}
	if len(events) == 0 {
		return false, nil // Skip, SyncFail, PreDelete, PostDelete
	}
	var policy []string
	for _, word := range words(o.annotations[argoHookDeleteAfter]) {
		if p, ok := argoPolicies[word]; ok {
			policy = append(policy, p)
		}
	}
	o.setHook(events, policy, o.wave)
	return true, nil
}

func (o *object) readHelmHook(value string) (bool, error) {
	var events []string
	for _, event := range words(value) {
		if slices.Contains(helmEvents, event) {
			events = append(events, event)
		}
	}
	if len(events) == 0 {
		return false, nil
	}
	weight := 0
	if text := strings.TrimSpace(o.annotations[helmHookWeight]); text != "" {
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return false, invalid(o.document, "write a whole number", "%s: annotation %s is %q", o.ref, helmHookWeight, text)
		}
		weight = int(number)
	}
	o.setHook(events, words(o.annotations[helmHookDelete]), weight)
	return true, nil
}

// setHook: an object that is named for before and after runs before, once.
// Without a policy, Helm and Argo CD both delete a hook before they create it
// again.
func (o *object) setHook(events, policy []string, weight int) {
	slices.Sort(events)
	if len(policy) == 0 {
		policy = []string{"before-hook-creation"}
	}
	o.hook = &hook{
		Hook:   gitops.Hook{Events: slices.Compact(events), DeletePolicy: policy},
		before: slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "pre-") }),
		weight: weight,
	}
}

func words(list string) []string {
	var out []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

// setWaves gives a bundle's hooks waves below and above those of its other
// objects, one wave for each weight.
func setWaves(objects []*object) {
	lowest, highest := 0, 0
	var before, after []int
	for _, o := range objects {
		switch {
		case o.hook == nil:
			lowest, highest = min(lowest, o.wave), max(highest, o.wave)
		case o.hook.before:
			before = append(before, o.hook.weight)
		default:
			after = append(after, o.hook.weight)
		}
	}
	slices.Sort(before)
	slices.Sort(after)
	before, after = slices.Compact(before), slices.Compact(after)
	for _, o := range objects {
		switch {
		case o.hook == nil:
		case o.hook.before:
			o.wave = lowest - len(before) + slices.Index(before, o.hook.weight)
		default:
			o.wave = highest + 1 + slices.Index(after, o.hook.weight)
		}
	}
}
