"""The board: pages for people, from the same queue and by the same verbs as all clients."""
