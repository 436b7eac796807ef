package process

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// parentVariable makes the test binary play a parent that is killed; see
// TestChildrenDieWithTheirParent.
const parentVariable = "WARMPOOL_RUN_TEST_PARENT"

func TestMain(m *testing.M) {
	if directory, found := os.LookupEnv(parentVariable); found {
		c, err := Start(sleeper(directory))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(c.PID)
		<-c.Done
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
