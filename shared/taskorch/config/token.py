"""The access token for the gateway: in a variable, or in a private file."""

VARIABLE = "TASKORCH_TOKEN"
FILE_VARIABLE = "TASKORCH_TOKEN_FILE"
#: The option that names a file.
FLAG = "token_file"
