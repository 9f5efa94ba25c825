package pipeline_test

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// The first key pair of RFC 8032, section 7.1.
func TestPublicKey(t *testing.T) {
	t.Parallel()
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	require.NoError(t, err)
	// d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a
	require.Equal(t, "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", pipeline.PublicKey(seed))
	require.Empty(t, pipeline.PublicKey(nil))
	require.Empty(t, pipeline.PublicKey(seed[:31]))
}
