// Command publish publishes one message by STOMP and waits until it is on disk.
package main

import (
	"log"
	"os"

	"github.com/go-stomp/stomp/v3"
)

func main() {
	address := append(os.Args[1:], "localhost:61613")[0]
	c, err := stomp.Dial("tcp", address)
	if err == nil {
		err = c.Send("/chat/lobby", "application/json", []byte(`{"text":"hi from Go"}`), stomp.SendOpt.Receipt)
	}
	if err != nil {
		log.Fatal(err)
	}
	_ = c.Disconnect()
}
