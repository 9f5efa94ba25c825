package codec_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/dealwright/dealwright/codec"
	"github.com/dealwright/dealwright/keyring"
)

func keyOf(letter string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
}

func newCodec(tb testing.TB, keys ...string) *codec.Codec {
	tb.Helper()
	ring, err := keyring.New(strings.Join(keys, ","))
	require.NoError(tb, err)
	c, err := codec.New(ring)
	require.NoError(tb, err)
	return c
}

type input struct {
	Name  string
	Email string
}

var ada = input{Name: "Ada Byrne", Email: "ada@example.com"}

func TestAPayloadIsEncryptedAndComesBack(t *testing.T) {
	t.Parallel()
	data := newCodec(t, keyOf("a")).Data()
	sealed, err := data.ToPayloads(ada, "Ada Byrne", nil, []byte("ada@example.com"))
	require.NoError(t, err)
	wire, err := proto.Marshal(sealed)
	require.NoError(t, err)
	for _, word := range []string{"Ada", "ada@", "Email", "json/plain"} {
		require.NotContains(t, string(wire), word)
	}
	for _, p := range sealed.GetPayloads() {
		require.Equal(t, "binary/encrypted", string(p.GetMetadata()["encoding"]))
		require.Len(t, p.GetMetadata()["encryption-key-id"], 8)
	}
	var in input
	var name string
	var nothing any
	var raw []byte
	require.NoError(t, data.FromPayloads(sealed, &in, &name, &nothing, &raw))
	require.Equal(t, ada, in)
	require.Equal(t, ada.Name, name)
	require.Nil(t, nothing)
	require.Equal(t, ada.Email, string(raw))

	again, err := data.ToPayload(ada)
	require.NoError(t, err)
	require.NotEqual(t, sealed.GetPayloads()[0].GetData(), again.GetData(), "equal values do not look equal")
}

func TestWhatIsInClearStaysReadable(t *testing.T) {
	t.Parallel()
	plain, err := converter.GetDefaultDataConverter().ToPayload(ada)
	require.NoError(t, err)
	var in input
	require.NoError(t, newCodec(t, keyOf("a")).Data().FromPayload(plain, &in))
	require.Equal(t, ada, in)
}

func TestOldKeysRead(t *testing.T) {
	t.Parallel()
	sealed, err := newCodec(t, keyOf("a")).Data().ToPayload(ada)
	require.NoError(t, err)
	var in input
	require.NoError(t, newCodec(t, keyOf("b"), keyOf("a")).Data().FromPayload(sealed, &in))
	require.Equal(t, ada, in)

	err = newCodec(t, keyOf("b")).Data().FromPayload(sealed, &in)
	id := string(sealed.GetMetadata()["encryption-key-id"])
	require.ErrorContains(t, err, "sealed with a key that is not in DEALWRIGHT_ENCRYPTION_KEY (id "+id+")")
}

func TestWhatIsEncryptedIsNotEncryptedTwice(t *testing.T) {
	t.Parallel()
	c := newCodec(t, keyOf("a"))
	sealed, err := c.Data().ToPayload(ada)
	require.NoError(t, err)
	again, err := c.Encode([]*commonpb.Payload{sealed})
	require.NoError(t, err)
	require.Equal(t, sealed, again[0])
}

func TestWhatWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	c := newCodec(t, keyOf("a"), keyOf("b"))
	sealed, err := c.Data().ToPayload(ada)
	require.NoError(t, err)
	other, err := newCodec(t, keyOf("b")).Data().ToPayload(ada)
	require.NoError(t, err)
	for i := range sealed.GetData() {
		changed := proto.CloneOf(sealed)
		changed.Data[i] ^= 1
		_, err := c.Decode([]*commonpb.Payload{changed})
		require.Error(t, err, "byte %d", i)
	}
	changes := map[string]func(*commonpb.Payload){
		"empty":         func(p *commonpb.Payload) { p.Data = nil },
		"short":         func(p *commonpb.Payload) { p.Data = p.GetData()[:20] },
		"no key":        func(p *commonpb.Payload) { delete(p.GetMetadata(), codec.MetadataKeyID) },
		"another key":   func(p *commonpb.Payload) { p.Metadata[codec.MetadataKeyID] = other.GetMetadata()[codec.MetadataKeyID] },
		"no id of ours": func(p *commonpb.Payload) { p.Metadata[codec.MetadataKeyID] = []byte("0badc0de\r\nthen") },
	}
	for name, change := range changes {
		changed := proto.CloneOf(sealed)
		change(changed)
		_, err := c.Decode([]*commonpb.Payload{changed})
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "then")
	}
}

func TestFailuresAreEncrypted(t *testing.T) {
	t.Parallel()
	failures := newCodec(t, keyOf("a")).Failures()
	err := temporal.NewApplicationErrorWithOptions("Ada Byrne is deleted", "conflict", temporal.ApplicationErrorOptions{
		Details: []any{ada}, Cause: errors.New("ada@example.com"),
	})
	sealed := failures.ErrorToFailure(err)
	wire, marshalErr := proto.Marshal(sealed)
	require.NoError(t, marshalErr)
	for _, word := range []string{"Ada", "ada@", "deleted"} {
		require.NotContains(t, string(wire), word)
	}
	var app *temporal.ApplicationError
	require.ErrorAs(t, failures.FailureToError(sealed), &app)
	require.Contains(t, app.Error(), "Ada Byrne is deleted")
	var in input
	require.NoError(t, app.Details(&in))
	require.Equal(t, ada, in)

	old := &failurepb.Failure{Message: "as before", FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
		ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "conflict"},
	}}
	require.ErrorContains(t, failures.FailureToError(old), "as before")
}

// A worker without the key leaves a workflow alone; everybody else hears of it.
func TestAWorkflowWaitsForAKey(t *testing.T) {
	t.Parallel()
	sealed, err := newCodec(t, keyOf("a")).Data().ToPayloads(ada)
	require.NoError(t, err)
	aware, ok := newCodec(t, keyOf("b")).Data().(workflow.ContextAware)
	require.True(t, ok)
	inWorkflow := aware.WithWorkflowContext(nil)
	var in input
	require.PanicsWithError(t, "sealed with a key that is not in DEALWRIGHT_ENCRYPTION_KEY (id "+
		string(sealed.GetPayloads()[0].GetMetadata()["encryption-key-id"])+")", func() { _ = inWorkflow.FromPayloads(sealed, &in) })
	require.Panics(t, func() { _ = inWorkflow.FromPayload(sealed.GetPayloads()[0], &in) })
	require.Error(t, aware.WithContext(t.Context()).FromPayloads(sealed, &in))
	var number int
	plain, err := inWorkflow.ToPayload("not a number")
	require.NoError(t, err)
	require.Error(t, inWorkflow.FromPayload(plain, &number), "any other error is one")
}

func BenchmarkPayload(b *testing.B) {
	c := newCodec(b, keyOf("a"))
	for name, data := range map[string]converter.DataConverter{"plain": converter.GetDefaultDataConverter(), "encrypted": c.Data()} {
		in := map[string]string{"state": strings.Repeat("s", 1500)}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := data.ToPayload(in)
				if err != nil {
					b.Fatal(err)
				}
				var out map[string]string
				if err := data.FromPayload(p, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
