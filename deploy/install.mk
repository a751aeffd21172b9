# Installing: filled by the deployment part.
