package httpserver_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(crowded) != "" {
		serveCrowded()
		return
	}
	goleak.VerifyTestMain(m)
}
