package mail

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain sees to it that no session outlives its message.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
