package client

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"kekd.dev/tests/upstream/kekd"
)

// After config_test.go of k8s.io/apiserver's encryptionconfig; its providers are KMS v1 and never asked, these are kekd. It also
// passes by the file's validation, which refuses what masks within one list in other words.
const masksWithin = "using overlapping resources such as 'secrets' and '*.' in the same resource list"

func TestWildcardMasking(t *testing.T) {
	t.Parallel()
	endpoint := kekd.Started(t).Endpoint()
	name := providerOf(t)
	for _, test := range []struct {
		name    string
		entries [][]string
		want    string
	}{
		{"resources masked by *. group", [][]string{{"configmaps", "*.", "secrets"}}, masksWithin},
		{"*. masked by *. group", [][]string{{"*."}, {"*."}}, `resource "*." is masked by earlier rule "*."`},
		{"*.foo masked by *.foo", [][]string{{"*.foo"}, {"*.foo"}}, `resource "*.foo" is masked by earlier rule "*.foo"`},
		{"*.* masked by *.*", [][]string{{"*.*"}, {"*.*"}}, `resource "*.*" is masked by earlier rule "*.*"`},
		{"resources masked by *. group in multiple configurations", [][]string{{"configmaps"}, {"*."}, {"secrets"}}, `resource "secrets" is masked by earlier rule "*."`},
		{"resources masked by *.*", [][]string{{"configmaps", "*.*", "secrets"}}, masksWithin},
		{"resources masked by *.* in multiple configurations", [][]string{{"configmaps"}, {"*.*"}, {"secrets"}}, `resource "secrets" is masked by earlier rule "*.*"`},
		{"resources *. masked by *.*", [][]string{{"configmaps", "*.*", "*."}}, masksWithin},
		{"resources *. masked by *.* in multiple configurations", [][]string{{"configmaps"}, {"*.*"}, {"*."}}, `resource "*." is masked by earlier rule "*.*"`},
		{"resources not masked by any rule", [][]string{{"configmaps", "secrets"}}, ""},
		{"resources not masked by any rule in multiple configurations", [][]string{{"configmaps", "secrets"}, {"*.*"}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var entries []string
			for i, resources := range test.entries {
				entries = append(entries, entry(provider(name+string(rune('a'+i)), endpoint, 3*time.Second), resources...))
			}
			_, err := loadText(t, configuration(entries...))
			if test.want == "" {
				must(t, err)
			} else {
				mustFail(t, err, test.want)
			}
		})
	}
}

func TestWildcardStructure(t *testing.T) {
	t.Parallel()
	endpoint := kekd.Started(t).Endpoint()
	name := providerOf(t)
	from := func(short string) string { return provider(name+"."+short, endpoint, 3*time.Second) }
	config, err := loadText(t, configuration(
		entry(from("kms"), "configmaps", "*.apps"),
		entry(from("another-kms")+"    - identity: {}\n", "secrets"),
		entry(from("yet-another"), "pandas.bears"),
		entry(from("fancy"), "*.*")))
	must(t, err)
	for resource, want := range map[string]string{
		"configmaps": "kms", "secrets": "another-kms", "events": "fancy", "deployments.apps": "kms", "pods": "fancy",
		"pandas": "fancy", "pandas.bears": "yet-another", "jobs.apps": "kms",
	} {
		transformer := config.Transformers[schema.ParseGroupResource(resource)]
		for _, wildcard := range []string{"*." + schema.ParseGroupResource(resource).Group, "*.*"} {
			if transformer == nil {
				transformer = config.Transformers[schema.ParseGroupResource(wildcard)]
			}
		}
		stored, err := transformer.TransformToStorage(context.Background(), testData, atKey)
		must(t, err)
		if prefix := "k8s:enc:kms:v2:" + name + "." + want + ":"; !strings.HasPrefix(string(stored), prefix) {
			t.Errorf("%s: want %s, got %.60q", resource, prefix, stored)
		}
	}
}
