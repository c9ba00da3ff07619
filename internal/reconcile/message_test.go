// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
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
	camera, value := gitops.ObjectRef{Group: "example.com", Version: "v1", Kind: "Camera", Namespace: "shop", Name: "door"}, field.NewPath("spec", "value")
	undeclared := func(text string) error {
		return apierrors.NewInternalError(errors.New("failed to create typed patch object (shop/door; example.com/v1, Kind=Camera): " + text))
	}
	tests := map[string]struct {
		ref  gitops.ObjectRef
		err  error
		want []string
	}{
		"number":              {pod, invalid("Pod", field.Invalid(path, 4711, "must be between 1 and 65535, inclusive")), []string{"spec.template: Invalid value: must be between 1 and 65535, inclusive"}},
		"number said again":   {pod, invalid("Pod", field.Invalid(path, 4711, "4711 is too much")), []string{"spec.template: Invalid value: … is too much"}},
		"long value":          {pod, invalid("Pod", field.Invalid(path, long, "field is immutable")), []string{"spec.template", "field is immutable"}},
		"short value":         {camera, invalid("Camera", field.Invalid(value, "canary", "must match '^[0-9]+$'")), []string{"spec.value: Invalid value: must match '^[0-9]+$'"}},
		"value with colons":   {camera, invalid("Camera", field.Invalid(value, "a: canary: b", "is bad: really")), []string{"spec.value: Invalid value: is bad: really"}},
		"value without more":  {camera, invalid("Camera", field.Duplicate(value, "a: canary")), []string{"spec.value: Duplicate value"}},
		"value said again":    {camera, invalid("Camera", field.Invalid(value, "canary", "canary is no port")), []string{"spec.value: Invalid value: … is no port"}},
		"value quoted again":  {camera, invalid("Camera", field.Invalid(value, map[string]any{"pin": "canary"}, `the pin "canary" is weak`)), []string{"spec.value: Invalid value: the pin … is weak"}},
		"value of an enum":    {camera, invalid("Camera", field.NotSupported(value, "canary", []string{"low", "high"})), []string{`spec.value: Unsupported value: supported values: "low", "high"`}},
		"value of no kind":    {camera, invalid("Camera", field.Invalid(value, make(chan int), "canary")), []string{"spec.value: Invalid value"}},
		"forbidden":           {camera, invalid("Camera", field.Forbidden(value, `may not be "canary"`)), []string{"spec.value: Forbidden: may not be …"}},
		"type of a field":     {camera, undeclared(`.spec.value: expected string, got &value.valueUnstructured{Value:4711}`), []string{".spec.value: expected string"}},
		"types of two fields": {camera, undeclared("errors:\n  .spec.value: expected boolean, got &{canary\n canary}\n  .spec.list[name=\"x\"].y: field not declared in schema"), []string{".spec.value: expected boolean; .spec.list[name=\"x\"].y: field not declared in schema"}},
		"type of nothing":     {camera, undeclared(`canary`), []string{"a field has a wrong type"}},
		"not decoded":         {camera, apierrors.NewBadRequest(`parsing time "canary" as "2006": cannot parse "canary"`), []string{"parsing time …"}},
		"number too large":    {camera, apierrors.NewBadRequest(`json: cannot unmarshal number 4711e9 into Go struct field Camera.spec.value of type int32`), []string{"Camera.spec.value of type int32"}},
		"policy":              {camera, apierrors.NewForbidden(schema.GroupResource{Resource: "cameras"}, "door", errors.New(`admission webhook "hook.example.com" denied the request: "canary" in {"spec":"canary"} is weak`)), []string{`cameras "door" is forbidden`, "hook.example.com", "is weak"}},
		"no right":            {camera, apierrors.NewForbidden(schema.GroupResource{Resource: "cameras"}, "door", errors.New(`User "edge" cannot patch resource "cameras" in API group "example.com"`)), []string{`User "edge" cannot patch resource "cameras"`}},
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
			if strings.Contains(text, "canary") || strings.Contains(text, "4711") || len(text) > 700 {
				t.Errorf("message is too long or quotes a secret: %q", text)
			}
		})
	}
	if text := reconcile.TextOf(&pod, apierrors.NewBadRequest(strings.Repeat("y", 5000)+" the end")); len(text) > 700 || !strings.Contains(text, "the end") {
		t.Errorf("message is %q", text)
	}
}
