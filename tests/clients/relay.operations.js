// What relay.mjs asks for: Relay's compiler reads the documents in here, nothing runs it.

import { graphql } from 'relay-runtime';

// A page of the front end, with the first page of a list.
graphql`
  query HomeQuery($count: Int!) {
    ...ArticleList_query @arguments(count: $count)
  }
`;

// The list goes on by a query that Relay's compiler makes of this.
graphql`
  fragment ArticleList_query on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "String" })
  @refetchable(queryName: "ArticleListPaginationQuery") {
    articles(first: $count, after: $cursor) @connection(key: "ArticleList_articles") {
      edges {
        node {
          id
          slug
          title
          author {
            name
          }
        }
      }
    }
  }
`;

graphql`
  query ArticleQuery($slug: String!, $count: Int!) {
    article(slug: $slug) {
      id
      title
      ...CommentList_article @arguments(count: $count)
    }
  }
`;

// This list goes on by node(id:).
graphql`
  fragment CommentList_article on Article
  @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "String" })
  @refetchable(queryName: "CommentListPaginationQuery") {
    comments(first: $count, after: $cursor) @connection(key: "CommentList_comments") {
      edges {
        node {
          id
          bodyHtml
          ...CommentThread_comment
        }
      }
    }
  }
`;

graphql`
  fragment CommentThread_comment on Comment
  @argumentDefinitions(first: { type: "Int", defaultValue: 3 }, last: { type: "Int" }, after: { type: "String" }, before: { type: "String" })
  @refetchable(queryName: "CommentThreadPaginationQuery") {
    replies(first: $first, after: $after, last: $last, before: $before) @connection(key: "CommentThread_replies") {
      edges {
        node {
          id
        }
      }
    }
  }
`;

graphql`
  mutation CommentAddMutation($input: CommentAddInput!) {
    commentAdd(input: $input) {
      submission {
        status
        comment {
          id
          bodyHtml
        }
      }
      userErrors {
        __typename
        message
        path
        ... on CommentError {
          code
        }
      }
    }
  }
`;

graphql`
  query NodesQuery($ids: [ID!]!) {
    nodes(ids: $ids) {
      __typename
      id
      ... on Article {
        title
      }
      ... on Author {
        name
      }
    }
  }
`;

graphql`
  query PartlyQuery($slug: String!) {
    article(slug: $slug) {
      slug
    }
    viewer {
      queue(first: 1) {
        nodes {
          id
        }
      }
    }
  }
`;

graphql`
  mutation AccountRegisterMutation($input: AccountRegisterInput!) {
    accountRegister(input: $input) {
      userErrors {
        message
      }
    }
  }
`;

graphql`
  mutation AccountVerifyMutation($input: AccountVerifyInput!) {
    accountVerify(input: $input) {
      userErrors {
        message
      }
    }
  }
`;

graphql`
  mutation SessionCreateMutation($input: SessionCreateInput!) {
    sessionCreate(input: $input) {
      token
      userErrors {
        message
      }
    }
  }
`;
