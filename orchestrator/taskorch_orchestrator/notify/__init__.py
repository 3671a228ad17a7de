"""Notifications: messages to people's chats and programs, sent by the service."""
