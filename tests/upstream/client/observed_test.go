package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	testingclock "k8s.io/utils/clock/testing"

	"kekd.dev/tests/upstream/kekd"
)

// What an API server tells of its calls to kekd: metrics, log and spans. After envelope_test.go of k8s.io/apiserver.

func TestEnvelopeMetrics(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	s := newServer(t, k.Endpoint(), serverOptions{})
	s.mustRead(s.mustWrite(text), text)
	const metric = "apiserver_envelope_encryption_key_id_hash_total"
	want := []string{}
	for _, direction := range []string{"from_storage", "to_storage"} {
		want = append(want, fmt.Sprintf(`%s{apiserver_id_hash="%s",key_id_hash="%s",provider_name="%s",transformation_type="%s"} 1`,
			metric, hash(apiServerID), hash(k.KeyID()), s.provider, direction))
	}
	if got := metrics(t, metric, s.provider); !slices.Equal(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestEnvelopeLogging(t *testing.T) {
	t.Parallel()
	const none = `group="" version="" resource="" subresource="" verb="" namespace="" name=""`
	const pandas = `group="awesome.bears.com" version="v1" resource="pandas" subresource="status" verb="update" namespace="kube-system" name="panda"`
	for _, test := range []struct {
		name   string
		info   *request.RequestInfo
		fields string
	}{
		{"no request info in context", nil, none},
		{"request info in context", &request.RequestInfo{APIGroup: "awesome.bears.com", APIVersion: "v1", Resource: "pandas",
			Subresource: "status", Namespace: "kube-system", Name: "panda", Verb: "update"}, pandas},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			if test.info != nil {
				ctx = request.WithRequestInfo(ctx, test.info)
			}
			s := connect(t, kekd.Started(t).Endpoint(), t.Name(), 3*time.Second)
			clock := testingclock.NewFakeClock(time.Now())
			transformer := newEnvelopeTransformerWithClock(s, t.Name(), func() (kmsv2.State, error) { return makeState(t, s, t.Name(), true), nil },
				apiServerID, time.Second, clock)
			here := value.DefaultContext("/registry/" + t.Name())
			stored, err := transformer.TransformToStorage(ctx, []byte(text), here)
			must(t, err)
			clock.Step(2 * time.Second)
			write(t, transformer) // takes the expired entry out of the cache
			_, _, err = transformer.TransformFromStorage(ctx, stored, here)
			must(t, err)
			for _, want := range []string{
				fmt.Sprintf(`"encrypting content using DEK" uid="%s" key="/registry/%s" %s`, uid, t.Name(), test.fields),
				fmt.Sprintf(`key="/registry/%s" %s`, t.Name(), test.fields),
			} {
				if len(log.lines(want)) == 0 {
					t.Errorf("the log has no %s", want)
				}
			}
			if len(log.lines(`"encrypting content using envelope service" uid="`+uid+`"`)) == 0 ||
				len(log.lines(`"decrypting content using envelope service" uid=`, `key="/registry/`+t.Name()+`"`)) != 1 {
				t.Error("the calls to kekd are not in the log")
			}
		})
	}
}

// spans returns the names of the events of the one span with that name which `use` makes.
func spans(t *testing.T, name string, transformer value.Transformer, use func(value.Transformer, *tracetest.SpanRecorder)) []string {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	use(transformer, recorder)
	ended := recorder.Ended()
	if len(ended) != 1 || ended[0].Name() != name {
		t.Fatalf("want one span %q, got %v", name, ended)
	}
	var provider string
	for _, attribute := range ended[0].Attributes() {
		if attribute.Key == "transformer.provider.name" {
			provider = attribute.Value.AsString()
		}
	}
	if provider != t.Name() {
		t.Errorf("want provider %q, got %q", t.Name(), provider)
	}
	var events []string
	for _, event := range ended[0].Events() {
		events = append(events, event.Name)
	}
	return events
}

func TestEnvelopeTracing_TransformToStorage(t *testing.T) {
	t.Parallel()
	s := connect(t, kekd.Started(t).Endpoint(), t.Name(), 3*time.Second)
	state := makeState(t, s, t.Name(), true)
	transformer := kmsv2.NewEnvelopeTransformer(s, t.Name(), func() (kmsv2.State, error) { return state, nil }, apiServerID)
	got := spans(t, "TransformToStorage with envelopeTransformer", transformer, func(transformer value.Transformer, recorder *tracetest.SpanRecorder) {
		ctx, _ := trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test").Start(testContext(t), "parent")
		_, err := transformer.TransformToStorage(ctx, []byte(text), atKey)
		must(t, err)
	})
	want := []string{"About to encrypt data using DEK", "Data encryption succeeded", "About to encode encrypted object", "Encoded encrypted object"}
	if !slices.Equal(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestEnvelopeTracing_TransformFromStorage(t *testing.T) {
	t.Parallel()
	decoded := []string{"About to decode encrypted object", "Decoded encrypted object"}
	decrypted := []string{"About to decrypt data using DEK", "Data decryption succeeded"}
	for _, test := range []struct {
		name string
		ttl  time.Duration
		down bool
		want []string
	}{
		{"decrypt", 5 * time.Second, false, slices.Concat(decoded, decrypted)},
		{"decrypt with cache miss", time.Second, false,
			slices.Concat(decoded, []string{"About to decrypt DEK using remote service", "DEK decryption succeeded"}, decrypted)},
		{"decrypt with cache miss, simulate KMS plugin failure", time.Second, true,
			slices.Concat(decoded, []string{"About to decrypt DEK using remote service", "DEK decryption failed", "exception"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := kekd.Started(t)
			s := connect(t, k.Endpoint(), t.Name(), time.Second)
			state := makeState(t, s, t.Name(), true)
			clock := testingclock.NewFakeClock(time.Now())
			transformer := newEnvelopeTransformerWithClock(s, t.Name(), func() (kmsv2.State, error) { return state, nil }, apiServerID, test.ttl, clock)
			stored := write(t, transformer)
			clock.Step(2 * time.Second)
			state = makeState(t, s, t.Name(), true)
			write(t, transformer) // takes the expired entry out of the cache
			if test.down {
				k.Kill()
			}
			got := spans(t, "TransformFromStorage with envelopeTransformer", transformer, func(transformer value.Transformer, recorder *tracetest.SpanRecorder) {
				ctx, _ := trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test").Start(testContext(t), "parent")
				_, _, err := transformer.TransformFromStorage(ctx, stored, atKey)
				if (err != nil) != test.down {
					t.Error(err)
				}
			})
			if !slices.Equal(got, test.want) {
				t.Errorf("want %q,\n got %q", test.want, got)
			}
			if strings.Contains(strings.Join(got, " "), text) {
				t.Error("a span tells the plaintext")
			}
		})
	}
}
