// A container runtime's side of CNI, by the library that runtimes call it with: loads a network's configuration list from a
// folder, does one verb, and prints what came of it as one line of JSON: {"result":…} or {"error":{"code","msg","details"}}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

// One call, as JSON on standard input.
type call struct {
	Verb           string
	ConfDir        string
	BinDir         string
	CacheDir       string
	Network        string
	ContainerID    string
	NetNS          string
	IfName         string
	Args           [][2]string
	CapabilityArgs map[string]any
	Valid          []types.GCAttachment
}

type outcome struct {
	// The version that was agreed upon.
	CNIVersion string       `json:"cniVersion,omitempty"`
	Result     types.Result `json:"result,omitempty"`
	Error      *types.Error `json:"error,omitempty"`
}

func main() {
	var asked call
	said := outcome{}
	err := json.NewDecoder(os.Stdin).Decode(&asked)
	if err == nil {
		said.CNIVersion, said.Result, err = do(asked)
	}
	if err != nil {
		said.Error = &types.Error{Msg: err.Error()}
		errors.As(err, &said.Error)
	}
	if json.NewEncoder(os.Stdout).Encode(said) != nil {
		os.Exit(1)
	}
}

func do(asked call) (string, types.Result, error) {
	ctx := context.Background()
	list, err := libcni.LoadNetworkConf(asked.ConfDir, asked.Network)
	if err != nil {
		return "", nil, err
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{asked.BinDir}, asked.CacheDir, nil)
	attachment := &libcni.RuntimeConf{
		ContainerID:    asked.ContainerID,
		NetNS:          asked.NetNS,
		IfName:         asked.IfName,
		Args:           asked.Args,
		CapabilityArgs: asked.CapabilityArgs,
	}
	var result types.Result
	switch asked.Verb {
	case "ADD":
		result, err = cni.AddNetworkList(ctx, list, attachment)
	case "CHECK":
		err = cni.CheckNetworkList(ctx, list, attachment)
	case "DEL":
		err = cni.DelNetworkList(ctx, list, attachment)
	case "GC":
		err = cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: asked.Valid})
	case "STATUS":
		err = cni.GetStatusNetworkList(ctx, list)
	case "VALIDATE":
		_, err = cni.ValidateNetworkList(ctx, list)
	default:
		err = errors.New("no verb: " + asked.Verb)
	}
	return list.CNIVersion, result, err
}
