/**
 * Something a person may want to know. Actors turn notices into log lines; the simulator counts
 * them.
 */
export type Notice =
  | { readonly _tag: "ResyncRequested" }
  | { readonly _tag: "ResyncRequestedByPeer" }
  | { readonly _tag: "BulkSendStarted" }
  | { readonly _tag: "ResendQueueOverflow"; readonly dropped: number }
  | { readonly _tag: "PeerRestarted"; readonly requeued: number }
  | { readonly _tag: "LinkChanged"; readonly from: number; readonly to: number }
  | { readonly _tag: "NoLinkUp" }
