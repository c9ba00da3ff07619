// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

func TestMessagesAreShortAndQuoteNoSecrets(t *testing.T) {
	long := strings.Repeat("x", 5000) + "canary"
	invalid := func(kind string, errs ...*field.Error) error {
		return apierrors.NewInvalid(schema.GroupKind{Kind: kind}, "o", errs)
	}
	pod, secret := gitops.ObjectRef{Version: "v1", Kind: "Pod", Name: "o"}, gitops.ObjectRef{Version: "v1", Kind: "Secret", Name: "o"}
	path := field.NewPath("spec", "template")
	tests := map[string]struct {
		ref  gitops.ObjectRef
		err  error
		want []string
	}{
		"short value":         {pod, invalid("Pod", field.Invalid(path, 99999, "must be below 65536")), []string{"spec.template", "99999", "must be below 65536"}},
		"long value":          {pod, invalid("Pod", field.Invalid(path, long, "field is immutable")), []string{"spec.template", "field is immutable"}},
		"value of a Secret":   {secret, invalid("Secret", field.Invalid(path, "canary", "field is immutable")), []string{"spec.template", "field is immutable"}},
		"Secret, not invalid": {secret, apierrors.NewBadRequest("cannot decode canary"), []string{"400 BadRequest"}},
		"many":                {pod, invalid("Pod", field.Required(path.Child("a"), "x"), field.Required(path.Child("b"), "x"), field.Required(path.Child("c"), "x"), field.Required(path.Child("d"), "x"), field.Required(path.Child("e"), "x"), field.Required(path.Child("f"), "x")), []string{"spec.template.a", "and 1 more"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := reconcile.TextOf(&test.ref, test.err)
			for _, word := range test.want {
				if !strings.Contains(text, word) {
					t.Errorf("message %q does not say %q", text, word)
				}
			}
			if strings.Contains(text, "canary") || len(text) > 700 {
				t.Errorf("message is too long or quotes a secret: %q", text)
			}
		})
	}
	if text := reconcile.TextOf(&pod, apierrors.NewBadRequest(strings.Repeat("y", 5000)+" the end")); len(text) > 700 || !strings.Contains(text, "the end") {
		t.Errorf("message is %q", text)
	}
}
